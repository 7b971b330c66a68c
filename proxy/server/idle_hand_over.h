// IdleHandOver: gives the idle client connections of one worker's listener to the process that
// succeeds this one, so that no client has to connect again. Only sockets travel: nothing of them
// is read and nothing unsent, and what a client sends meanwhile waits in the kernel. Made when the
// process retires; owned by the listener; the worker's thread only.
#pragma once

#include "proxy/event/loop.h"
#include "proxy/event/soon.h"
#include "proxy/server/channel.h"

namespace sluice::server {

class WorkerListener;

class IdleHandOver final : private event::SoonEvents, private event::TimerEvents {
 public:
  // Requires: both outlive this.
  IdleHandOver(WorkerListener& listener, const Channel& line);

  // One more is idle: it goes at the end of this tick.
  void on_idle() { soon_.schedule(); }

 private:
  void on_soon() override { give(); }
  void on_timer(event::Timer&) override { give(); }
  void give();

  WorkerListener& listener_;
  const Channel& line_;
  bool gone_ = false;  // the successor is: who is here stays, and is told to leave
  event::Soon soon_;
  event::Timer again_;  // while the line is full
};

}  // namespace sluice::server
