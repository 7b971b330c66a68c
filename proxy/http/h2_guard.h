// H2Guard: what one HTTP/2 client may cost us beside its requests. Frames that make work and bring
// nothing (RFC 9113 §10.5: SETTINGS, PING, PRIORITY, empty DATA, unknown types) and streams that
// are reset, refused or malformed (CVE-2023-44487) are paid from two purses, which fill up again
// with time; useful frames earn something back. Who has nothing left is told ENHANCE_YOUR_CALM. A
// member of the connection; its thread only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "proxy/base/clock.h"

namespace sluice::http {

class H2Guard {
 public:
  explicit H2Guard(TimePoint now) : filled_(now) {}

  // False: too many.
  bool pay_for_control(TimePoint now) { return pay(control_, now); }
  bool pay_for_reset(TimePoint now) { return pay(resets_, now); }
  // DATA that carries something, either way: peers measure with a PING each (gRPC does).
  void earn() { control_ = std::min(control_ + 1, kMostControl); }

 private:
  static constexpr int64_t kMostControl = 1000;
  static constexpr int64_t kMostResets = 250;
  static constexpr int64_t kControlPerSecond = 200;
  static constexpr int64_t kResetsPerSecond = 50;

  bool pay(int64_t& purse, TimePoint now) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - filled_).count();
    if (seconds > 0) {
      const int64_t capped = std::min<int64_t>(seconds, kMostControl);
      filled_ = now;
      control_ = std::min(control_ + capped * kControlPerSecond, kMostControl);
      resets_ = std::min(resets_ + capped * kResetsPerSecond, kMostResets);
    }
    if (purse == 0) return false;
    --purse;
    return true;
  }

  int64_t control_ = kMostControl;
  int64_t resets_ = kMostResets;
  TimePoint filled_;
};

}  // namespace sluice::http
