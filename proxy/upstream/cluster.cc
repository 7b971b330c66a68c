#include "proxy/upstream/cluster.h"

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"

namespace sluice::upstream {

Cluster::Cluster(event::Loop& loop, observe::WorkerMetrics& metrics, const Definition& definition)
    : loop_(loop),
      metrics_(metrics),
      id_(definition.id),
      turnstile_(definition.turnstile),
      serve_(loop, *this) {
  reconfigure(definition);
  // The wake may arrive after this cluster has gone: it finds the cluster through self_.
  place_ = turnstile_->join([&worker = loop_, self = self_] {
    worker.post([self] {
      if (*self != nullptr) (*self)->serve_.schedule();
    });
  });
}

Cluster::~Cluster() {
  SLUICE_ASSERT(queue_.empty());
  turnstile_->leave(place_);
  *self_ = nullptr;
}

void Cluster::reconfigure(const Definition& definition) {
  config_ = definition.config;
  PoolOwner& owner = *this;
  std::vector<std::unique_ptr<Pool>> kept;
  for (const auto& endpoint : definition.endpoints) {
    const auto same = std::find_if(pools_.begin(), pools_.end(), [&endpoint](const auto& pool) {
      return pool != nullptr && &pool->endpoint() == endpoint.get();
    });
    if (same != pools_.end()) {
      (*same)->reconfigure(config_);
      kept.push_back(std::move(*same));
    } else {
      kept.push_back(std::make_unique<Pool>(loop_, metrics_, endpoint, config_, owner));
    }
  }
  for (auto& gone : pools_) {
    if (gone != nullptr) retired_.push_back(std::move(gone));
  }
  pools_ = std::move(kept);
  serve_.schedule();
}

bool Cluster::all_tried(const Wish& wish) const {
  return std::all_of(pools_.begin(), pools_.end(), [&wish](const auto& pool) {
    return std::find(wish.tried.begin(), wish.tried.end(), &pool->endpoint()) != wish.tried.end();
  });
}

// Enters the chosen pool. Endpoints that just failed come last; the only one is never left out.
Pool* Cluster::pick(const Wish& wish) {
  Pool* best = nullptr;
  size_t chosen = 0;
  const size_t count = pools_.size();
  for (const bool penalized : {false, true}) {
    uint32_t least = UINT32_MAX;
    std::vector<Pool*> full;
    for (;;) {
      best = nullptr;
      for (size_t i = 0; i < count; ++i) {
        const size_t index = (next_ + i) % count;
        Pool& pool = *pools_[index];
        if (pool.is_penalized() != penalized) continue;
        if (std::find(full.begin(), full.end(), &pool) != full.end()) continue;
        if (std::find(wish.tried.begin(), wish.tried.end(), &pool.endpoint()) != wish.tried.end())
          continue;
        const uint32_t load =
            config_.balance == config::Balance::kLeastRequest ? pool.in_flight() : 0;
        if (best == nullptr || load < least) {
          best = &pool;
          chosen = index;
          least = load;
        }
      }
      if (best == nullptr) break;
      if (best->try_enter()) {
        next_ = (chosen + 1) % count;  // even among those that are left
        return best;
      }
      full.push_back(best);
    }
  }
  return nullptr;
}

Acquired Cluster::begin(Pool& pool, Waiter& waiter, const Wish& wish) {
  if (!wish.fresh) {
    if (PooledConnection* idle = pool.take_idle()) {
      Lease lease;
      lease.stream = &idle->lease();
      lease.endpoint = &pool.endpoint();
      return lease;
    }
  }
  auto ticket = std::make_unique<Ticket>(*this, waiter, wish);
  ticket->dial(pool);
  return ticket;
}

Acquired Cluster::acquire(Waiter& waiter, const Wish& wish) {
  if (wish.tried.empty()) {
    retry_tokens_ = std::min(kMostTokens, retry_tokens_ + config_.retry.budget);
  }
  if (all_tried(wish)) {
    return Error{ErrorCode::kUnreachable, Side::kUpstream, "no endpoint is left to try"};
  }
  // First come, first served: nobody overtakes the queue.
  if (queue_.empty()) {
    if (Pool* pool = pick(wish)) return begin(*pool, waiter, wish);
  }
  const bool full = queue_.size() >= config_.hold.requests ||
                    queued_bytes_ + wish.bytes > config_.hold.bytes.count;
  if (full) return Error{ErrorCode::kOverloaded, Side::kUpstream, "the queue is full"};
  auto ticket = std::make_unique<Ticket>(*this, waiter, wish);
  enqueue(*ticket);
  ticket->wait_in_queue(config_.hold.timeout);
  return ticket;
}

void Cluster::enqueue(Ticket& ticket) {
  queue_.push_back(&ticket);
  queued_bytes_ += ticket.wish_.bytes;
  metrics_.held(id_, 1);
  tell_turnstile();
  // A place may have become free on another worker between the failed pick and the notice.
  serve_.schedule();
}

void Cluster::remove(Ticket& ticket) {
  const auto at = std::find(queue_.begin(), queue_.end(), &ticket);
  SLUICE_ASSERT(at != queue_.end());
  queue_.erase(at);
  queued_bytes_ -= ticket.wish_.bytes;
  metrics_.held(id_, -1);
  metrics_.on_hold_over(id_, loop_.now() - ticket.since_);
  tell_turnstile();
}

void Cluster::tell_turnstile() {
  turnstile_->set_waiting(place_, !queue_.empty());
}

void Cluster::on_place_free() {
  if (!queue_.empty() || !retired_.empty()) {
    serve_.schedule();
  } else {
    turnstile_->pass_on(place_);
  }
}

void Cluster::on_soon() {
  std::erase_if(retired_, [](const auto& pool) {
    return pool->connections() == 0 && pool->in_flight() == 0;
  });
  while (!queue_.empty()) {
    Ticket& first = *queue_.front();
    Pool* pool = pick(first.wish_);
    if (pool == nullptr) return;
    remove(first);
    first.grant(*pool);
  }
  // Whoever woke us, or kept a place for us, did so for requests that may have left since: a place
  // that nobody here wants is another worker's.
  turnstile_->pass_on(place_);
}

bool Cluster::take_retry_token() {
  if (retry_tokens_ < 100) return false;
  retry_tokens_ -= 100;
  return true;
}

}  // namespace sluice::upstream
