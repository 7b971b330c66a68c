// ListenSocket: one listening socket for the life of its address (DESIGN, law 1). Opened by the
// control thread, shared by all workers, each of which watches it through an Acceptor of its own.
#pragma once

#include <cstdint>

#include "proxy/base/fd.h"
#include "proxy/base/result.h"
#include "proxy/net/address.h"

namespace sluice::net {

class ListenSocket {
 public:
  // Binds and listens. A stale unix path (nobody answers on it) is removed first; a live one is
  // refused, as is a port in use.
  static Result<ListenSocket> open(const config::Address& address, uint32_t backlog);

  int descriptor() const { return fd_.get(); }
  // What it is really bound to (port 0 resolved).
  SocketAddress local() const { return SocketAddress::of_local(fd_.get()); }
  // Drops new SYNs from now on, so that what is queued can be accepted and nothing is reset
  // (classic BPF, no privilege needed; TCP only). FEATURES K14.
  Status hold_new_connections();

 private:
  explicit ListenSocket(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace sluice::net
