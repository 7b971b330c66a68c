// Rounds: turns a real loop by hand, so that a test can look between two rounds, and let hours pass
// in no time. Sockets are real (loopback); nothing sleeps.
#pragma once

#include <functional>
#include <memory>

#include <event2/event.h>

#include "proxy/event/loop.h"

namespace sluice::testing {

class Rounds {
 public:
  event::Loop& loop() { return *loop_; }

  // What is ready now, what is due now, and the end of the tick.
  void once() {
    event_base_loop(loop_->base(), EVLOOP_ONCE | EVLOOP_NONBLOCK);
    loop_->timers().advance(steady_now());
    loop_->run_leftovers();
  }
  // False: it did not come about; real time, for a machine that is busy.
  bool until(const std::function<bool()>& done) {
    const TimePoint late = steady_now() + std::chrono::seconds(20);
    while (!done()) {
      if (steady_now() > late) return false;
      once();
    }
    return true;
  }
  // Whatever was ready has been told.
  void settle() {
    for (int i = 0; i < 10; ++i) once();
  }
  // Time passes; nothing else happens meanwhile.
  void pass(Duration time) {
    loop_->timers().advance(loop_->now() + time);
    loop_->run_leftovers();
  }

 private:
  const std::unique_ptr<event::Loop> loop_ = event::Loop::make().value();
};

}  // namespace sluice::testing
