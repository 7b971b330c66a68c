// H2Guard: what one HTTP/2 client may cost us beside its requests. Frames that make work and bring
// nothing (RFC 9113 §10.5: SETTINGS, PING, PRIORITY, empty DATA, unknown types) are paid from one
// purse, streams that are reset, refused or malformed (CVE-2023-44487) from a second, and
// WINDOW_UPDATEs from a third, a large one. All fill up again with time, and useful frames earn
// something back. Who has nothing left is told ENHANCE_YOUR_CALM. A member of the connection; its
// thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "proxy/base/clock.h"

namespace sluice::http {

class H2Guard {
 public:
  explicit H2Guard(TimePoint now) : filled_(now) {}

  // False: too many.
  bool pay_for_control(TimePoint now) { return pay(control_, now); }
  bool pay_for_reset(TimePoint now) { return pay(resets_, now); }
  bool pay_for_update(TimePoint now) { return pay(updates_, now); }
  // DATA that carries something, either way: others measure with a PING each (gRPC does), and open
  // windows by small steps.
  void earn(size_t bytes) {
    control_ = std::min(control_ + 1, kMostControl);
    updates_ = std::min(updates_ + 2 + static_cast<int64_t>(bytes / 512), kMostUpdates);
  }

 private:
  static constexpr int64_t kMostControl = 1000;
  static constexpr int64_t kMostResets = 250;
  static constexpr int64_t kMostUpdates = 10'000;
  static constexpr int64_t kControlPerSecond = 200;
  static constexpr int64_t kResetsPerSecond = 50;
  static constexpr int64_t kUpdatesPerSecond = 2000;

  bool pay(int64_t& purse, TimePoint now) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - filled_).count();
    if (seconds > 0) {
      const int64_t capped = std::min<int64_t>(seconds, 3600);
      filled_ = now;
      control_ = std::min(control_ + capped * kControlPerSecond, kMostControl);
      resets_ = std::min(resets_ + capped * kResetsPerSecond, kMostResets);
      updates_ = std::min(updates_ + capped * kUpdatesPerSecond, kMostUpdates);
    }
    if (purse == 0) return false;
    --purse;
    return true;
  }

  int64_t control_ = kMostControl;
  int64_t resets_ = kMostResets;
  int64_t updates_ = kMostUpdates;
  TimePoint filled_;
};

}  // namespace sluice::http
