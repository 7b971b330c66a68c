#include "proxy/upstream/cluster.h"

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"

namespace sluice::upstream {
namespace {

// Of one turn of the queue: the rest comes in the next round, so that nobody else waits for us.
constexpr size_t kMostGranted = 64;
constexpr size_t kMostPassed = 64;

// How gladly an endpoint is asked. kAway: only where nothing is held.
enum class Standing : uint8_t { kWell, kAiling, kEjected, kAway, kOut };

Standing standing_of(const Endpoint& endpoint) {
  switch (endpoint.state()) {
    case EndpointState::kReady:
    case EndpointState::kStarting:
      return endpoint.is_ejected() ? Standing::kEjected : Standing::kWell;
    case EndpointState::kSuspect:
      return endpoint.is_ejected() ? Standing::kEjected : Standing::kAiling;
    case EndpointState::kHolding: return Standing::kAway;
    case EndpointState::kDraining:
    case EndpointState::kGone: break;
  }
  return Standing::kOut;
}

bool is_usable(Standing standing) {
  return standing == Standing::kWell || standing == Standing::kAiling;
}

bool is_tried(const Wish& wish, const Endpoint& endpoint) {
  return std::find(wish.tried.begin(), wish.tried.end(), &endpoint) != wish.tried.end();
}

// Others in the queue may be served although this one is not.
bool is_particular(const Wish& wish) {
  return !wish.tried.empty() || wish.fresh || wish.unsafe || wish.has_key || wish.sticky != nullptr;
}

enum class Fault : uint8_t { kOurs, kFull, kRefused, kUnreached };

Fault fault_of(const Error& error) {
  if (error.side == Side::kUs) return Fault::kOurs;
  switch (error.code) {
    case ErrorCode::kWouldBlock:
    case ErrorCode::kSystem:
      return Fault::kFull;  // says nothing of the endpoint: ask again, gently
    case ErrorCode::kRefused:
    case ErrorCode::kNotFound: return Fault::kRefused;
    default: return Fault::kUnreached;
  }
}

}  // namespace

Cluster::Cluster(event::Loop& loop, observe::WorkerMetrics& metrics, const Definition& definition)
    : loop_(loop),
      metrics_(metrics),
      id_(definition.id),
      balancer_(reinterpret_cast<uintptr_t>(this)),  // workers draw differently
      turnstile_(definition.turnstile),
      serve_(loop, *this),
      next_turn_(loop.timers(), *this) {
  join_turnstile();
  reconfigure(definition);
}

Cluster::~Cluster() {
  SLUICE_ASSERT(queue_.empty());
  turnstile_->leave(place_);
  *self_ = nullptr;
}

// The wake may arrive after this cluster has gone: it finds the cluster through self_.
void Cluster::join_turnstile() {
  place_ = turnstile_->join([&worker = loop_, self = self_] {
    worker.post([self] {
      if (*self != nullptr) (*self)->serve_.schedule();
    });
  });
}

// ---- endpoints come and go ----

std::unique_ptr<Pool> Cluster::take_pool(const Endpoint& endpoint) {
  for (auto* pools : {&pools_, &retired_}) {
    const auto its = std::find_if(pools->begin(), pools->end(), [&endpoint](const auto& pool) {
      return pool != nullptr && &pool->endpoint() == &endpoint;
    });
    if (its != pools->end()) return std::move(*its);
  }
  return nullptr;
}

void Cluster::reconfigure(const Definition& definition) {
  config_ = definition.config;
  ejector_ = definition.ejector;
  balancer_.reconfigure(config_, definition.endpoints);
  if (turnstile_ != definition.turnstile) {
    turnstile_->leave(place_);
    turnstile_ = definition.turnstile;
    said_waiting_ = false;
    join_turnstile();
    tell_turnstile();
  }
  PoolOwner& owner = *this;
  std::vector<std::unique_ptr<Pool>> kept;
  for (const auto& endpoint : definition.endpoints) {
    auto pool = take_pool(*endpoint);
    if (pool != nullptr) {
      pool->reconfigure(config_);
    } else {
      pool = std::make_unique<Pool>(loop_, metrics_, endpoint, config_, owner);
    }
    kept.push_back(std::move(pool));
  }
  for (auto& gone : pools_) {
    if (gone == nullptr) continue;
    gone->retire();
    retired_.push_back(std::move(gone));
  }
  std::erase(retired_, nullptr);
  pools_ = std::move(kept);
  candidates_.reserve(pools_.size());
  compared_.reserve(pools_.size());
  serve_.schedule();
}

// Who had the last lease of an endpoint may still name it in a log line, when its client has read
// the answer to the end: the endpoint outlives its pool, until so many others have gone since that
// no client is that slow.
void Cluster::forget_retired() {
  for (const auto& pool : retired_) {
    if (!pool->is_over()) continue;
    if (remembered_.size() < kMostRemembered) remembered_.emplace_back();
    remembered_[oldest_++ % kMostRemembered] = pool->share_endpoint();
  }
  std::erase_if(retired_, [](const auto& pool) { return pool->is_over(); });
}

// ---- the choice ----

bool Cluster::is_away() const {
  return std::none_of(pools_.begin(), pools_.end(), [](const auto& pool) {
    return standing_of(pool->endpoint()) < Standing::kAway;
  });
}

// The wish has been everywhere, and waiting is not wanted. (Where it is, whoever still has an
// attempt left may go round again.)
bool Cluster::is_exhausted(const Wish& wish) const {
  if (holds()) return false;
  return std::all_of(pools_.begin(), pools_.end(),
                     [&wish](const auto& pool) { return is_tried(wish, pool->endpoint()); });
}

// Enters the chosen pool. What was tried already is asked again only when nothing else is there.
Pool* Cluster::pick(const Wish& wish, Again again) {
  if (pools_.size() == 1 && wish.tried.empty()) {
    Pool& only = *pools_.front();
    const Standing standing = standing_of(only.endpoint());
    const bool asked = standing < Standing::kAway || (standing == Standing::kAway && !holds());
    return asked && only.try_enter(wish) ? &only : nullptr;
  }
  Choice choice = pick_usable(wish, false);
  if (!choice.someone && !wish.tried.empty() && again == Again::kMay) {
    choice = pick_usable(wish, true);
  }
  if (choice.someone || holds()) return choice.pool;
  collect([this, &wish](const Pool& pool) {
    return standing_of(pool.endpoint()) == Standing::kAway && !is_tried(wish, pool.endpoint());
  });
  return enter_one(wish);
}

// Of the first group of priority that has a usable endpoint: those that are well, then the ailing.
// Ejected ones where there is no other, or where so many are out that the rest would be overrun.
Cluster::Choice Cluster::pick_usable(const Wish& wish, bool repeat) {
  size_t usable = 0;
  size_t known = 0;
  uint32_t group = UINT32_MAX;
  uint32_t ejected_group = UINT32_MAX;
  for (const auto& pool : pools_) {
    const Endpoint& endpoint = pool->endpoint();
    const Standing standing = standing_of(endpoint);
    if (standing == Standing::kOut) continue;
    ++known;
    if (is_usable(standing)) ++usable;
    if (!repeat && is_tried(wish, endpoint)) continue;
    if (is_usable(standing)) group = std::min(group, endpoint.priority());
    if (standing == Standing::kEjected)
      ejected_group = std::min(ejected_group, endpoint.priority());
  }
  const bool only_ejected = group == UINT32_MAX;
  const bool takes_ejected = only_ejected || usable * 100 < known * config_.panic;
  const uint32_t asked = only_ejected ? ejected_group : group;
  const auto may = [&wish, repeat, asked](const Endpoint& endpoint) {
    return endpoint.priority() == asked && (repeat || !is_tried(wish, endpoint));
  };
  const bool well = collect([&may, &wish, takes_ejected](const Pool& pool) {
    if (!may(pool.endpoint())) return false;
    const Standing standing = standing_of(pool.endpoint());
    if (standing == Standing::kAiling) return !wish.unsafe && pool.is_trial_due();
    return standing == Standing::kWell || (standing == Standing::kEjected && takes_ejected);
  });
  if (well) {
    if (Pool* pool = enter_one(wish)) return {pool, true};
  }
  const bool ailing = collect([&may](const Pool& pool) {
    return may(pool.endpoint()) && standing_of(pool.endpoint()) == Standing::kAiling;
  });
  return {ailing ? enter_one(wish) : nullptr, well || ailing};
}

template <typename Wanted>
bool Cluster::collect(const Wanted& wanted) {
  candidates_.clear();
  for (size_t i = 0; i < pools_.size(); ++i) {
    Pool* const pool = pools_[(next_ + i) % pools_.size()].get();
    if (wanted(*pool)) candidates_.push_back(pool);
  }
  return !candidates_.empty();
}

// The candidates stand in the order of the round; the one that is entered ends it.
Pool* Cluster::enter_one(const Wish& wish) {
  compared_.clear();
  for (Pool* pool : candidates_) {
    compared_.push_back({&pool->endpoint(), &pool->track(), pool->in_flight()});
  }
  while (!compared_.empty()) {
    const size_t best = balancer_.choose(compared_, wish, loop_.now());
    const auto at = static_cast<ptrdiff_t>(best);
    Pool* const pool = candidates_[best];
    if (pool->try_enter(wish)) {
      const auto its = std::find_if(pools_.begin(), pools_.end(),
                                    [pool](const auto& one) { return one.get() == pool; });
      next_ = static_cast<size_t>(its - pools_.begin() + 1) % pools_.size();
      if (pool->endpoint().state() == EndpointState::kSuspect) pool->on_trial();
      return pool;
    }
    candidates_.erase(candidates_.begin() + at);
    compared_.erase(compared_.begin() + at);
  }
  return nullptr;
}

void Cluster::on_result(const Lease& lease, int status, Duration first_byte) {
  if (ejector_ != nullptr) ejector_->on_result(*lease.endpoint, status, first_byte);
  if (config_.balance != config::Balance::kPeakEwma || status == 0) return;
  for (const auto& pool : pools_) {
    if (&pool->endpoint() == lease.endpoint) pool->track().on_answer(first_byte, loop_.now());
  }
}

// ---- a request ----

Acquired Cluster::begin(Pool& pool, Waiter& waiter, const Wish& wish) {
  if (PooledConnection* idle = pool.take_idle(wish)) {
    Lease lease;
    lease.stream = &idle->lease(wish);
    lease.endpoint = &pool.endpoint();
    return lease;
  }
  auto ticket = std::make_unique<Ticket>(*this, waiter, wish);
  ticket->dial(pool);
  return ticket;
}

Acquired Cluster::acquire(Waiter& waiter, const Wish& wish) {
  if (wish.tried.empty()) {
    retry_tokens_ = std::min(kMostTokens, retry_tokens_ + config_.retry.budget);
  }
  if (is_exhausted(wish)) {
    return Error{ErrorCode::kUnreachable, Side::kUpstream, "no endpoint is left to try"};
  }
  // First come, first served: nobody overtakes the queue.
  if (queue_.empty()) {
    if (Pool* pool = pick(wish)) return begin(*pool, waiter, wish);
  }
  if (!has_room(wish.bytes)) {
    return Error{ErrorCode::kOverloaded, Side::kUpstream, "the queue is full"};
  }
  auto ticket = std::make_unique<Ticket>(*this, waiter, wish);
  enqueue(*ticket);
  return ticket;
}

// Nothing was sent: whoever can take it may have it, and it has not been tried in the sense of a
// retry (DESIGN, law 5).
void Cluster::on_dial_failed(Ticket& ticket, Pool& pool, const Error& error) {
  const Endpoint& endpoint = pool.endpoint();
  switch (fault_of(error)) {
    case Fault::kOurs: return ticket.tell(error, &endpoint);
    case Fault::kFull: pool.on_backlog_full(); break;
    case Fault::kRefused: pool.on_refused(EndpointNews::kRefused); break;
    case Fault::kUnreached: pool.on_refused(EndpointNews::kUnreached); break;
  }
  last_fault_ = error.detail;
  serve_.schedule();  // its idle connections go, others in the queue may be served
  ticket.wish_.tried.push_back(&endpoint);
  if (Pool* other = pick(ticket.wish_, Again::kMayNot)) {
    metrics_.retried(id_, observe::RetryProof::kNeverSent);
    return ticket.grant(*other);
  }
  if (!holds()) return ticket.tell(error, &endpoint);
  if (loop_.now() >= ticket.patience_) return ticket.tell(hold_expired(), nullptr);
  if (!has_room(ticket.wish_.bytes)) {
    return ticket.tell(
        {ErrorCode::kOverloaded, Side::kUpstream, "the queue is full: " + last_fault_}, nullptr);
  }
  ticket.wish_.tried.clear();
  enqueue(ticket);
}

Error Cluster::hold_expired() const {
  if (!is_away()) return {ErrorCode::kTimeout, Side::kUpstream, "waited too long for a place"};
  const bool asked = !last_fault_.empty();
  return {ErrorCode::kUnreachable, Side::kUpstream,
          "held too long: " + (asked ? last_fault_ : "no endpoint is there")};
}

bool Cluster::take_retry_token() {
  if (retry_tokens_ < 100) return false;
  retry_tokens_ -= 100;
  return true;
}

// ---- the queue ----

bool Cluster::has_room(uint64_t bytes) const {
  return holds() && queue_.size() < config_.hold.requests &&
         queue_.bytes() + bytes <= config_.hold.bytes.count;
}

void Cluster::enqueue(Ticket& ticket) {
  // Everybody is away: whoever comes back is as good as any.
  if (is_away()) ticket.wish_.tried.clear();
  queue_.insert(ticket.entry_);
  ticket.wait();
  metrics_.held(id_, 1);
  tell_turnstile();
  // A place may have become free on another worker between the failed pick and the notice.
  serve_.schedule();
}

void Cluster::remove(Ticket& ticket) {
  queue_.remove(ticket.entry_);
  metrics_.held(id_, -1);
  tell_turnstile();
}

void Cluster::tell_turnstile() {
  if (said_waiting_ == !queue_.empty()) return;
  said_waiting_ = !queue_.empty();
  turnstile_->set_waiting(place_, said_waiting_);
}

void Cluster::on_place_free(Pool& pool) {
  if (queue_.empty() && retired_.empty() && !pool.is_limited()) {
    return turnstile_->pass_on(place_);
  }
  place_freed_ = true;
  serve_.schedule();
}

void Cluster::on_learned() {
  turnstile_->wake_all();
}

void Cluster::on_timer(event::Timer&) {
  on_soon();
}

void Cluster::on_soon() {
  for (const auto& pool : pools_) pool->look();
  forget_retired();
  const bool freed = std::exchange(place_freed_, false);
  const size_t before = queue_.size();
  if (serve_queue() == Turn::kUnfinished) return next_turn_.arm(Duration{0});
  if (queue_.empty()) {
    for (const auto& pool : pools_) pool->relax();
  }
  // Whoever woke us, or kept a place for us, did so for requests that may have left since, or
  // cannot use it: a place that nobody here takes is another worker's.
  if (queue_.empty() || (freed && queue_.size() == before)) turnstile_->pass_on(place_);
}

// In order; one that cannot be served (it has been to the endpoint that is free) stands in nobody's
// way.
Cluster::Turn Cluster::serve_queue() {
  size_t granted = 0;
  size_t passed = 0;
  for (HoldQueue::Entry* entry = queue_.first(); entry != nullptr;) {
    Ticket& ticket = *entry->ticket;
    entry = entry->next;
    if (Pool* pool = pick(ticket.wish_)) {
      remove(ticket);
      ticket.grant(*pool);
      if (++granted == kMostGranted && !queue_.empty()) return Turn::kUnfinished;
    } else if (!is_particular(ticket.wish_) || ++passed == kMostPassed) {
      break;
    }
  }
  return Turn::kDone;
}

}  // namespace sluice::upstream
