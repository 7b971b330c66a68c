// Ticket: a place in a cluster's queue, or a connection being dialled for its holder, by turns: a
// dial that fails is not the holder's business as long as there is another endpoint, or time to
// wait for one. A handle: destroying it gives the place up, and nobody is called. Lease: a stream
// that is yours until you said finish() or reset() to it.
//
//   kNew ──> kQueued ──> kGranted ──> kDialling ──> kDone
//    │ dials   ^ │ too late             │ │
//    └─────────┼─┼──────────────────────┘ │
//              │ └──────────> kDone       │ refused: to another endpoint, or back into the queue
//              └──────────────────────────┘
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/http/stream.h"
#include "proxy/net/dialer.h"
#include "proxy/net/transport.h"
#include "proxy/upstream/hold_queue.h"

namespace sluice::upstream {

class Cluster;
class Pool;
class Endpoint;

struct Lease {
  http::ClientStream* stream = nullptr;
  Endpoint* endpoint = nullptr;
  bool fresh = false;    // the connection has carried no request before
  Duration queued{-1};   // held, failed dials included; negative: not at all
  Duration connect{-1};  // dialling; negative: an idle connection was used
};

// What a request asks of its cluster.
struct Wish {
  std::vector<const Endpoint*> tried;  // not these again, while there are others
  bool fresh = false;                  // not an idle connection
  bool unsafe = false;                 // its method is not idempotent: a stale connection loses it
  bool has_key = false;
  uint64_t key = 0;                  // the hash of what ring_hash goes by
  const Endpoint* sticky = nullptr;  // preferred while usable
  uint64_t bytes = 0;                // it pins while it waits
  std::string preface;  // a connection that begins with this, and is the client's alone; "": any
};

class Waiter {
 public:
  virtual void on_lease(const Lease& lease) = 0;
  // `endpoint` is the one whose dial failed: only where nothing is held (hold.timeout: 0s), or
  // where the fault is ours. Null: the time to be held was over, and `error` says what was waited
  // for: kTimeout: a place; kUnreachable: an endpoint, none was there (the detail is what the last
  // dial said). kOverloaded: there was no room in the queue to be held after a dial that failed.
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
  enum class State : uint8_t { kNew, kQueued, kDialling, kGranted, kDone };

  void wait();             // in the queue
  void dial(Pool& pool);   // Requires: pool entered
  void grant(Pool& pool);  // an idle connection or a dial, at the end of the tick
  void tell(const Error& error, const Endpoint* endpoint);
  void on_connected(std::unique_ptr<net::Transport> transport) override;
  void on_dial_failed(const Error& error) override;
  void on_timer(event::Timer& timer) override;
  void on_soon() override;
  void leave_state();
  void end();

  Cluster& cluster_;
  Waiter& waiter_;
  Wish wish_;
  const TimePoint arrived_;
  const TimePoint patience_;  // until when it may be held
  State state_ = State::kNew;
  bool was_held_ = false;
  Pool* pool_ = nullptr;  // entered, while dialling or granted
  TimePoint dialled_;
  Lease lease_;
  HoldQueue::Entry entry_;
  event::Timer timer_;
  event::Soon soon_;
  net::Dialer dialer_;
};

using Acquired = std::variant<Lease, std::unique_ptr<Ticket>, Error>;

}  // namespace sluice::upstream
