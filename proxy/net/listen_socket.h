// ListenSocket: one listening socket for the life of its address (DESIGN, law 1). Opened by the
// control thread, shared by all workers, each of which watches it through an Acceptor of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "proxy/base/fd.h"
#include "proxy/base/result.h"
#include "proxy/net/address.h"

namespace sluice::net {

// Whoever wants to know when a listening socket is closed: it is destroyed right after.
class SocketClaim {
 public:
  virtual ~SocketClaim() = default;
};

class ListenSocket {
 public:
  // Binds and listens. A stale unix path (nobody answers on it) is removed first; a live one is
  // refused, as is a port in use.
  static Result<ListenSocket> open(const config::Address& address, uint32_t backlog);

  // Takes one that is bound, and perhaps listening with connections in its queue: of a process
  // before us, or of the service manager.
  static Result<ListenSocket> adopt(Fd fd, uint32_t backlog);
  void claim(std::unique_ptr<SocketClaim> claim) { claim_ = std::move(claim); }

  int descriptor() const { return fd_.get(); }
  // What it is really bound to (port 0 resolved).
  SocketAddress local() const { return SocketAddress::of_local(fd_.get()); }
  // Drops new SYNs from now on, so that what is queued can be accepted and nothing is reset
  // (classic BPF, no privilege needed; TCP only). FEATURES K14.
  Status hold_new_connections();
  // The listener stays after all: new SYNs are answered again.
  void release_new_connections();
  // A unix socket knows no SYNs to hold: from here on connecting is refused, which tells a client
  // that nothing was sent, and what is queued can still be accepted. There is no way back.
  void refuse_new_connections();
  // Another length of the accept queue; what is queued stays.
  void set_backlog(uint32_t backlog);
  // Connections accepted from now on leave at most about so many bytes with the kernel that were
  // not sent yet, rather than all that its buffers take. TCP only.
  void limit_unsent(uint32_t bytes);
  // Before this object goes. Requires: nobody watches the descriptor any more.
  void close();
  bool is_open() const { return fd_.is_open(); }
  // Its address was somebody's before us.
  bool is_adopted() const { return is_adopted_; }

 private:
  explicit ListenSocket(Fd fd) : fd_(std::move(fd)) {}
  bool is_adopted_ = false;
  std::unique_ptr<SocketClaim> claim_;  // before fd_: destroyed after it
  Fd fd_;
};

}  // namespace sluice::net
