// Beat: news at a steady interval, one wake-up each: for what never ends, where a timer of the
// wheel would cost two or three (it and the loop round differently). Costs a descriptor. A handle:
// destroying it stops it. Loop's thread only.
#pragma once

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"

namespace sluice::event {

class BeatEvents {
 public:
  virtual void on_beat() = 0;

 protected:
  ~BeatEvents() = default;
};

class Beat final : private IoEvents {
 public:
  Beat(Loop& loop, BeatEvents& events) : loop_(loop), events_(events) {}

  // The first one comes after an interval. The same as before: no difference; 0: none.
  Status set(Duration interval);
  Duration interval() const { return interval_; }

 private:
  void on_io(IoReady ready) override;

  Loop& loop_;
  BeatEvents& events_;
  Duration interval_{0};
  Fd fd_;
  IoWatcher watcher_;
};

}  // namespace sluice::event
