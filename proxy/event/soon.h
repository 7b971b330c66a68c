// Soon: a call to oneself at the end of this tick: for news that must not come from inside a call,
// and for work that other work has to be finished for. A handle: destroying it cancels it. A call
// scheduled while the end of the tick runs still happens in it. Loop's thread only.
#pragma once

#include "proxy/event/loop.h"

namespace sluice::event {

class SoonEvents {
 public:
  virtual void on_soon() = 0;

 protected:
  ~SoonEvents() = default;
};

class Soon {
 public:
  Soon(Loop& loop, SoonEvents& events) : loop_(loop), events_(events) {}
  Soon(const Soon&) = delete;
  Soon& operator=(const Soon&) = delete;
  ~Soon() { cancel(); }

  void schedule();  // again before it ran: no difference
  void cancel();

 private:
  friend class Loop;
  Loop& loop_;
  SoonEvents& events_;
  Soon* next_ = nullptr;
  Soon** prev_ = nullptr;  // the pointer that points here; null: not scheduled
};

}  // namespace sluice::event
