// Cluster: one worker's view of one upstream: its endpoints' pools, the balancer, and the queue in
// front of them. Hands out leases; who cannot be served now waits in a bounded, timed FIFO, for a
// place, or for an endpoint while all are away (DESIGN, law 6). The wait ends by news: a place is
// free, an endpoint has changed. Shared by the generations of configuration that name this upstream
// (the last one destroys it); the worker's thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/event/soon.h"
#include "proxy/observe/worker_metrics.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/ejector.h"
#include "proxy/upstream/hold_queue.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/ticket.h"
#include "proxy/upstream/turnstile.h"

namespace sluice::upstream {

// What the control thread prepared for one upstream: shared by all workers.
struct Definition {
  config::Upstream config;
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  std::shared_ptr<Turnstile> turnstile;
  std::shared_ptr<Ejector> ejector;
  observe::UpstreamId id;
};

class Cluster final : private PoolOwner, private event::SoonEvents, private event::TimerEvents {
 public:
  Cluster(event::Loop& loop, observe::WorkerMetrics& metrics, const Definition& definition);
  ~Cluster();

  // A lease at once, a ticket (the waiter is called on a later tick), or an error: kOverloaded
  // (queue full), kUnreachable (nothing is held, and every endpoint was tried or there is none).
  // Requires: waiter outlives the ticket.
  Acquired acquire(Waiter& waiter, const Wish& wish);
  // Takes over what a new configuration says; pools of endpoints that stay are kept, and so is the
  // queue.
  void reconfigure(const Definition& definition);

  const config::Upstream& config() const { return config_; }
  observe::UpstreamId id() const { return id_; }
  // Requests that no endpoint can take now are held; otherwise they fail as their dials do.
  bool holds() const { return config_.hold.timeout > Duration{0} && config_.hold.requests > 0; }
  // No endpoint is there to be asked: who waits now does not wait for a place.
  bool is_away() const;
  // For the metrics of this worker.
  size_t waiting() const { return queue_.size(); }
  size_t pool_count() const { return pools_.size(); }
  const Pool& pool(size_t index) const { return *pools_[index]; }
  size_t retired_count() const { return retired_.size(); }

  // An attempt at this lease is over: what the balancer and the ejector learn from. `status` 0: no
  // answer came.
  void on_result(const Lease& lease, int status, Duration first_byte);
  // The endpoint whose name `matches`; null: none. For sticky cookies.
  template <typename Matches>
  const Endpoint* find_endpoint(const Matches& matches) const {
    for (const auto& pool : pools_) {
      if (matches(pool->endpoint().name())) return &pool->endpoint();
    }
    return nullptr;
  }

  // A retry takes a token from the budget (retry.budget, percent of requests); false: none left.
  bool take_retry_token();

 private:
  friend class Ticket;
  // What a ticket says and asks.
  uint64_t next_number() { return ++arrivals_; }
  void on_dial_failed(Ticket& ticket, Pool& pool, const Error& error);
  void on_hold_over(Duration held) { metrics_.on_hold_over(id_, held); }
  Error hold_expired() const;
  void remove(Ticket& ticket);

  void on_place_free(Pool& pool) override;
  void on_learned() override;
  void on_soon() override;
  void on_timer(event::Timer& timer) override;

  enum class Turn : uint8_t { kDone, kUnfinished };
  Turn serve_queue();
  struct Choice {
    Pool* pool = nullptr;
    bool someone = false;  // is there, be it full
  };
  enum class Again : uint8_t { kMay, kMayNot };  // be asked, who was tried
  Pool* pick(const Wish& wish, Again again = Again::kMay);
  Choice pick_usable(const Wish& wish, bool repeat);
  template <typename Wanted>
  bool collect(const Wanted& wanted);  // into candidates_; false: none
  Pool* enter_one(const Wish& wish);
  bool is_exhausted(const Wish& wish) const;
  bool has_room(uint64_t bytes) const;
  Acquired begin(Pool& pool, Waiter& waiter, const Wish& wish);
  void enqueue(Ticket& ticket);
  void tell_turnstile();
  void join_turnstile();
  void forget_retired();
  std::unique_ptr<Pool> take_pool(const Endpoint& endpoint);

  event::Loop& loop_;
  observe::WorkerMetrics& metrics_;
  const observe::UpstreamId id_;
  config::Upstream config_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::vector<std::unique_ptr<Pool>> retired_;  // of removed endpoints, until their last lease ends
  static constexpr size_t kMostRemembered = 512;
  std::vector<std::shared_ptr<const Endpoint>> remembered_;  // of retired pools; a ring
  size_t oldest_ = 0;                                        // in it
  Balancer balancer_;
  std::vector<Pool*> candidates_;    // of the choice under way; bounded by pools_
  std::vector<Candidate> compared_;  // the same, as the balancer sees them
  size_t next_ = 0;                  // where the next round starts
  HoldQueue queue_;                  // bounded by config_.hold
  uint64_t arrivals_ = 0;
  std::string last_fault_;  // what the last dial that failed said
  bool place_freed_ = false;
  uint32_t retry_tokens_ = kMostTokens;          // in hundredths
  static constexpr uint32_t kMostTokens = 1000;  // ten retries in a row, then the budget counts
  std::shared_ptr<Turnstile> turnstile_;
  std::shared_ptr<Ejector> ejector_;  // null: nobody judges
  size_t place_ = 0;
  bool said_waiting_ = false;
  // Null once this cluster is gone; read on the worker's thread only.
  const std::shared_ptr<Cluster*> self_ = std::make_shared<Cluster*>(this);
  event::Soon serve_;
  event::Timer next_turn_;
};

}  // namespace sluice::upstream
