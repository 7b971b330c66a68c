// AcceptLine: connections to an application beside us that it has not taken up yet, for requests
// that must not be lost with them. When an application stops, its accept queue is reset, and so is
// what a worker had accepted and not read: a POST that was sent has an unknown fate then, and
// nobody may repeat it. What has not been sent, or not to its end, can go elsewhere. So who asks
// for it waits until the kernel shows the other end as accepted (a socket without an owner has
// inode 0), or as read (no bytes are left in it): sock_diag(7). Owned by a pool; the worker's
// thread only.
#pragma once

#include <optional>
#include <vector>

#include "proxy/event/timers.h"
#include "proxy/net/sock_diag.h"

namespace sluice::upstream {

class AcceptWaiter {
 public:
  // The application has it, or nobody can tell: send now. On a later tick than join().
  virtual void on_accepted() = 0;

 protected:
  ~AcceptWaiter() = default;
};

class AcceptLine final : private event::TimerEvents {
 public:
  // `theirs` outlives it: where the application listens.
  AcceptLine(event::Timers& timers, const net::SocketAddress& theirs);

  enum class Until : uint8_t { kAccepted, kRead };
  // True: the waiter has to wait for on_accepted(). False: go on at once: it is so already, the
  // application is not beside us, or the kernel does not say.
  bool join(AcceptWaiter& waiter, int descriptor, Until until);
  void leave(const AcceptWaiter& waiter);
  size_t size() const { return line_.size(); }

 private:
  struct Place {
    AcceptWaiter* waiter;
    net::SocketAddress ours;
    Until until;
  };
  void on_timer(event::Timer& timer) override;
  bool is_waiting(const net::SocketAddress& ours, Until until);

  const net::SocketAddress& theirs_;
  std::optional<net::SockDiag> kernel_;  // opened when first asked for
  bool is_blind_ = false;                // it cannot be asked
  std::vector<Place> line_;              // bounded by what the backlog takes
  event::Timer timer_;
};

}  // namespace sluice::upstream
