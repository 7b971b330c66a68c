// ReadWatch: whether an application beside us has read what it was sent. When an application
// stops, what is in its accept queue is reset, and so is what a worker had accepted and not read: a
// POST that was sent has an unknown fate then, and nobody may repeat it. What was not sent to its
// end cannot have been executed. So of a request that may not be repeated the first bytes go alone,
// and the rest follows when the kernel shows them as read: of a TCP connection on loopback the
// other end is looked at (no bytes left in it, and a socket with an owner: one that nobody has
// accepted has inode 0; sock_diag(7)), of a unix one our own (unix(7), SIOCOUTQ: bytes the other
// side has not read). Owned by a pool; the worker's thread only.
#pragma once

#include <optional>
#include <vector>

#include "proxy/event/timers.h"
#include "proxy/net/sock_diag.h"

namespace sluice::upstream {

class ReadWaiter {
 public:
  // The application has read it, or nobody can tell: send the rest. On a later tick than join().
  virtual void on_read() = 0;

 protected:
  ~ReadWaiter() = default;
};

class ReadWatch final : private event::TimerEvents {
 public:
  // `theirs` outlives it: where the application listens.
  ReadWatch(event::Timers& timers, const net::SocketAddress& theirs);

  // `descriptor`: our end, open until leave(). True: the waiter has to wait for on_read(), or for
  // the connection's end. False: go on at once: it is read already, the application is not beside
  // us, or the kernel does not say.
  bool join(ReadWaiter& waiter, int descriptor);
  void leave(const ReadWaiter& waiter);
  // Nobody has to wait here.
  bool is_blind() const { return is_blind_; }
  size_t size() const { return line_.size(); }

 private:
  struct Place {
    ReadWaiter* waiter;
    int descriptor;
    net::SocketAddress ours;
  };
  void on_timer(event::Timer& timer) override;
  bool is_unread(const Place& place, bool first_look);
  bool is_unread_tcp(const Place& place, bool first_look);

  const net::SocketAddress& theirs_;
  std::optional<net::SockDiag> kernel_;  // opened when first asked for
  bool is_blind_ = false;                // it cannot be asked
  std::vector<Place> line_;              // bounded by what is in flight
  size_t next_ = 0;                      // in line_: whose turn it is
  event::Timer timer_;
};

}  // namespace sluice::upstream
