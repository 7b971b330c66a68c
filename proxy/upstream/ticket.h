// Ticket: a place in a cluster's queue, or a connection being dialled for its holder. A handle:
// destroying it gives the place up, and nobody is called. Lease: a stream that is yours until you
// said finish() or reset() to it.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/http/stream.h"
#include "proxy/net/dialer.h"

namespace sluice::upstream {

class Cluster;
class Pool;
class Endpoint;

struct Lease {
  http::ClientStream* stream = nullptr;
  const Endpoint* endpoint = nullptr;
  bool fresh = false;    // the connection has carried no request before
  Duration queued{-1};   // in the FIFO; negative: not at all
  Duration connect{-1};  // dialling; negative: an idle connection was used
};

// What a request asks of its cluster.
struct Wish {
  std::vector<const Endpoint*> tried;  // not these again
  bool fresh = false;                  // not an idle connection
  bool unsafe = false;                 // its method is not idempotent: a stale connection loses it
  bool has_key = false;
  uint64_t key = 0;                  // the hash of what ring_hash goes by
  const Endpoint* sticky = nullptr;  // preferred while usable
  uint64_t bytes = 0;                // it pins while it waits
};

class Waiter {
 public:
  virtual void on_lease(const Lease& lease) = 0;
  // `endpoint` is the one whose dial failed; null when the queue's time ran out (kTimeout).
  virtual void on_no_lease(const Error& error, const Endpoint* endpoint) = 0;

 protected:
  ~Waiter() = default;
};

class Ticket final : private net::DialEvents,
                     private event::TimerEvents,
                     private event::SoonEvents {
 public:
  Ticket(Cluster& cluster, Waiter& waiter, const Wish& wish);
  ~Ticket();

 private:
  friend class Cluster;
  enum class State : uint8_t { kQueued, kDialling, kGranted, kDone };

  void wait_in_queue(Duration timeout);
  void dial(Pool& pool);
  void grant(Pool& pool);  // an idle connection, told at the end of the tick
  void on_connected(std::unique_ptr<net::Transport> transport) override;
  void on_dial_failed(const Error& error) override;
  void on_timer(event::Timer& timer) override;
  void on_soon() override;

  Cluster& cluster_;
  Waiter& waiter_;
  const Wish wish_;
  State state_ = State::kQueued;
  Pool* pool_ = nullptr;  // entered, while dialling or granted
  TimePoint since_;       // queued or dialling
  Lease lease_;
  event::Timer timer_;
  event::Soon soon_;
  net::Dialer dialer_;
};

using Acquired = std::variant<Lease, std::unique_ptr<Ticket>, Error>;

}  // namespace sluice::upstream
