// Timers: one thread's deadlines, in a hierarchical wheel (4 levels of 64 slots, 1 ms to 4.6 h;
// later ones are carried over). Arming and cancelling cost a few pointer writes and never a system
// call. Timer is a handle: destroying it cancels it. Callbacks run from advance() only, at or up to
// 1 ms after their deadline, and may arm, cancel or destroy any timer, their own included.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "proxy/base/clock.h"

namespace sluice::event {

class Timers;

// Told when a timer it owns has run out. `timer` says which, for owners of several.
class Timer;
class TimerEvents {
 public:
  virtual void on_timer(Timer& timer) = 0;

 protected:
  ~TimerEvents() = default;
};

class Timer {
 public:
  Timer(Timers& timers, TimerEvents& events) : timers_(&timers), events_(&events) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  // Arms, or moves the deadline if armed.
  void arm(Duration from_now);
  // At the next advance(), whatever time it brings: after all the news of this round of the loop.
  void arm_at_once();
  void cancel() {
    if (is_armed()) disarm();
  }
  bool is_armed() const { return prev_ != nullptr; }

 private:
  friend class Timers;
  void disarm();

  Timers* timers_;
  TimerEvents* events_;
  Timer* next_ = nullptr;
  Timer** prev_ = nullptr;  // the pointer that points here; null: not armed
  uint64_t deadline_ = 0;   // in ticks
  uint16_t place_ = 0;      // level * 64 + slot, while armed
};

class Timers {
 public:
  explicit Timers(TimePoint start) : start_(start), now_(start) {}
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // The time of this tick: read once per round of the loop, not once per use.
  TimePoint now() const { return now_; }
  // Moves time and runs what is due. A clock that stands still or goes back runs nothing.
  void advance(TimePoint now);
  // Moves time only; the timers run at the next advance(). For a round that begins.
  void set_now(TimePoint now) {
    if (now > now_) now_ = now;
  }
  // A time not later than the earliest deadline (it may be earlier: the wheel then only turns).
  // TimePoint::max() when none is armed.
  TimePoint next_turn() const;
  size_t armed() const { return armed_; }

 private:
  friend class Timer;
  static constexpr int kLevels = 4;
  static constexpr int kSlots = 64;
  static constexpr uint16_t kAtOnce = kLevels * kSlots;  // place_ of what is in at_once_
  uint64_t tick_of(TimePoint t) const;  // rounded up
  void place(Timer& timer);
  void link(Timer*& head, Timer& timer);
  void remove(Timer& timer);
  void run(Timer*& list);
  void cascade(int level);

  const TimePoint start_;
  TimePoint now_;
  uint64_t tick_ = 0;  // all ticks up to here have run
  size_t armed_ = 0;
  std::array<std::array<Timer*, kSlots>, kLevels> slots_{};
  std::array<uint64_t, kLevels> occupied_{};
  Timer* at_once_ = nullptr;  // for the next advance()
  Timer* running_ = nullptr;  // the list that advance() is working off
};

}  // namespace sluice::event
