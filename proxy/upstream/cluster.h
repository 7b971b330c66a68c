// Cluster: one worker's view of one upstream: its endpoints' pools, the balancer, and the queue in
// front of them. Hands out leases; who cannot be served now waits in a bounded, timed FIFO. Shared
// by the generations of configuration that name this upstream (the last one destroys it); the
// worker's thread only.
#pragma once

#include <memory>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/event/soon.h"
#include "proxy/observe/worker_metrics.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/ticket.h"
#include "proxy/upstream/turnstile.h"

namespace sluice::upstream {

// What the control thread prepared for one upstream: shared by all workers.
struct Definition {
  config::Upstream config;
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  std::shared_ptr<Turnstile> turnstile;
  observe::UpstreamId id;
};

class Cluster final : private PoolOwner, private event::SoonEvents {
 public:
  Cluster(event::Loop& loop, observe::WorkerMetrics& metrics, const Definition& definition);
  ~Cluster();

  // A lease at once, a ticket (the waiter is called on a later tick), or an error: kOverloaded
  // (queue full), kUnreachable (every endpoint was tried).
  // Requires: waiter outlives the ticket.
  Acquired acquire(Waiter& waiter, const Wish& wish);
  // Takes over what a new configuration says; pools of endpoints that stay are kept.
  void reconfigure(const Definition& definition);

  const config::Upstream& config() const { return config_; }
  observe::UpstreamId id() const { return id_; }
  // For the metrics of this worker.
  size_t waiting() const { return queue_.size(); }
  size_t pool_count() const { return pools_.size(); }
  const Pool& pool(size_t index) const { return *pools_[index]; }

  // A retry takes a token from the budget (retry.budget, percent of requests); false: none left.
  bool take_retry_token();

 private:
  friend class Ticket;
  void on_place_free() override;
  void on_soon() override;
  Pool* pick(const Wish& wish);
  bool all_tried(const Wish& wish) const;
  Acquired begin(Pool& pool, Waiter& waiter, const Wish& wish);
  void enqueue(Ticket& ticket);
  void remove(Ticket& ticket);
  void tell_turnstile();

  event::Loop& loop_;
  observe::WorkerMetrics& metrics_;
  const observe::UpstreamId id_;
  config::Upstream config_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::vector<std::unique_ptr<Pool>> retired_;  // of removed endpoints, until their last lease ends
  size_t next_ = 0;                             // where the next round starts
  std::vector<Ticket*> queue_;                  // FIFO; bounded by config_.hold
  uint64_t queued_bytes_ = 0;
  uint32_t retry_tokens_ = kMostTokens;          // in hundredths
  static constexpr uint32_t kMostTokens = 1000;  // ten retries in a row, then the budget counts
  std::shared_ptr<Turnstile> turnstile_;
  size_t place_ = 0;
  // Null once this cluster is gone; read on the worker's thread only.
  const std::shared_ptr<Cluster*> self_ = std::make_shared<Cluster*>(this);
  event::Soon serve_;
};

}  // namespace sluice::upstream
