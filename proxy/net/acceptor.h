// Acceptor: one worker's share of a listening socket. Watches it through a private epoll descriptor
// with EPOLLEXCLUSIVE, so that one connection wakes one worker (libevent 2.1 cannot ask for that),
// and hands on what it accepts. Owned by the worker; its thread only. The socket itself belongs to
// the control thread and outlives it.
#pragma once

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"
#include "proxy/net/address.h"

namespace sluice::net {

class AcceptEvents {
 public:
  virtual void on_accepted(Fd fd, const SocketAddress& client) = 0;
  // Out of descriptors or memory: accepting pauses by itself for a moment.
  virtual void on_accept_paused(const Error& error) = 0;

 protected:
  ~AcceptEvents() = default;
};

class Acceptor final : private event::TimerEvents, private event::IoEvents {
 public:
  Acceptor(event::Loop& loop, int listener, AcceptEvents& events);
  ~Acceptor();

  Status start();
  void stop();
  // Accepts everything that is queued now. Requires: started or stopped; never blocks.
  void drain_queue();

 private:
  enum class Outcome : uint8_t { kAccepted, kEmpty, kPaused };
  void on_io(event::IoReady ready) override;
  Outcome accept_one();
  void on_timer(event::Timer& timer) override;
  Status watch();

  event::Loop& loop_;
  const int listener_;
  AcceptEvents& events_;
  Fd epoll_;
  event::Timer resume_;       // while paused
  event::IoWatcher watcher_;  // level-triggered, on epoll_
};

}  // namespace sluice::net
