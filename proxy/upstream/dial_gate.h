// DialGate: lets no more dials through than the application's accept queue takes. A full one is no
// failure (a unix socket says EAGAIN, over TCP the watch of the listener sees it): who wants to
// dial waits until something has moved. Pure; a pool's own.
//
//   kOpen ── full ──> kShut ── moved, or its pause is over ──> kNarrow ── one dials ──> kTrying
//     ^                 ^                                       │  ^ ^── it came through ──┘ │
//     └── nobody waits ─┼───────────────────────────────────────┘  └──── it was given up ────┤
//                       └──────────────────────────────── full ──────────────────────────────┘
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "proxy/base/clock.h"

namespace sluice::upstream {

class DialGate {
 public:
  bool is_open() const { return state_ == State::kOpen; }
  bool may_dial() const { return state_ == State::kOpen || state_ == State::kNarrow; }
  void on_dial() {
    if (state_ == State::kNarrow) state_ = State::kTrying;
  }
  void on_connected() {
    pause_ = kShortest;
    on_no_dial();
  }
  // Who was let through to dial found an idle connection.
  void on_no_dial() {
    if (state_ == State::kTrying) state_ = State::kNarrow;
  }
  // The pause after which on_moved() is due; zero when that is under way already.
  Duration on_full() {
    if (state_ == State::kShut) return Duration{0};
    state_ = State::kShut;
    return std::exchange(pause_, std::min(pause_ * 2, kLongest));
  }
  // A lease has ended, the endpoint has changed, or the pause is over.
  void on_moved() {
    if (state_ != State::kOpen) state_ = State::kNarrow;
  }
  void on_nobody_waits() {
    if (state_ == State::kNarrow) state_ = State::kOpen;
  }

 private:
  static constexpr Duration kShortest = std::chrono::milliseconds(5);
  static constexpr Duration kLongest = std::chrono::milliseconds(50);
  enum class State : uint8_t { kOpen, kShut, kNarrow, kTrying };
  State state_ = State::kOpen;
  Duration pause_ = kShortest;
};

}  // namespace sluice::upstream
