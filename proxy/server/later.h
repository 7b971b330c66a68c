// Later: a function called once after a while on this loop. A handle: destroying it cancels it.
#pragma once

#include <functional>
#include <utility>

#include "proxy/event/loop.h"

namespace sluice::server {

class Later final : private event::TimerEvents {
 public:
  Later(event::Loop& loop, Duration wait, std::function<void()> work)
      : work_(std::move(work)), timer_(loop.timers(), *this) {
    timer_.arm(wait);
  }

 private:
  void on_timer(event::Timer&) override { work_(); }

  const std::function<void()> work_;
  event::Timer timer_;
};

}  // namespace sluice::server
