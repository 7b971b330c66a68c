// KeepAliveLesson: what the FINs on a pool's idle connections say about the application's
// keep-alive. Not every FIN is its limit: a restart closes what it has, early and at once, and
// must not teach. So a lesson is drawn only a while after the first FIN, when it is known whether
// the listener went as well. Pure; a pool's own.
//
//   kNone ── FIN ──> kOpen ── conclude() ──> kNone, and what was learned
//                      └── several within kBurst, of different ages ──> kBurst ── conclude() ──>
//                      kNone
#pragma once

#include <chrono>
#include <cstdint>

#include "proxy/base/clock.h"

namespace sluice::upstream {

class KeepAliveLesson {
 public:
  static constexpr Duration kDelay = std::chrono::milliseconds(100);  // FIN to conclude()
  static constexpr Duration kBurst = std::chrono::milliseconds(50);
  static constexpr uint32_t kSeveral = 3;
  // Connections that went idle together reach the application's limit together.
  static constexpr Duration kSameAge = std::chrono::milliseconds(20);
  // Closed sooner it was no timer (max_requests, an answer that was the last).
  static constexpr Duration kLeast = std::chrono::milliseconds(20);
  // What the application was seen to do long ago, it need not do any more.
  static constexpr Duration kForgotten = std::chrono::minutes(10);

  enum class News : uint8_t {
    kBegun,  // the first FIN: conclude() is due in kDelay
    kMore,
    kBurst,  // told once: the application closes what it has
  };
  // The application closed a connection that had been idle for so long.
  News on_fin(TimePoint now, Duration idle);
  // The keep-alive it showed; zero: nothing was learned. Requires: a FIN since the last time.
  Duration conclude();

 private:
  enum class State : uint8_t { kNone, kOpen, kBurst };
  State state_ = State::kNone;
  TimePoint began_{};
  uint32_t count_ = 0;
  Duration least_{};
  Duration most_{};
};

}  // namespace sluice::upstream
