// Signals: the process's signals as news of the control loop (signalfd), never as handlers. Blocked
// in every thread: made in main before any thread is. Owned by the control thread.
#pragma once

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"

namespace sluice::server {

class SignalEvents {
 public:
  virtual void on_signal(int number) = 0;

 protected:
  ~SignalEvents() = default;
};

class Signals final : private event::IoEvents {
 public:
  explicit Signals(SignalEvents& events) : events_(events) {}

  // Blocks what is watched (TERM, QUIT, INT, HUP, USR1, USR2) and ignores PIPE. Before any thread.
  static void block();
  Status start(event::Loop& loop);

 private:
  void on_io(event::IoReady ready) override;

  SignalEvents& events_;
  Fd fd_;
  event::IoWatcher watcher_;
};

}  // namespace sluice::server
