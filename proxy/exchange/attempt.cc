#include "proxy/exchange/attempt.h"

#include <utility>

#include "proxy/base/assert.h"

namespace sluice::exchange {

using Delivery = http::ClientStream::Delivery;

Attempt::Attempt(event::Loop& loop, upstream::Cluster& cluster, AttemptEvents& events)
    : loop_(loop), cluster_(cluster), events_(events), timer_(loop.timers(), *this) {}

Attempt::~Attempt() {
  abandon();
}

std::optional<Failure> Attempt::start(const upstream::Wish& wish) {
  SLUICE_ASSERT(state_ == State::kIdle);
  auto acquired = cluster_.acquire(*this, wish);
  if (auto* lease = std::get_if<upstream::Lease>(&acquired)) {
    hold(*lease);
  } else if (auto* ticket = std::get_if<std::unique_ptr<upstream::Ticket>>(&acquired)) {
    ticket_ = std::move(*ticket);
    state_ = State::kWaiting;
  } else {
    state_ = State::kOver;
    return Failure{Stage::kConnect, std::get<Error>(acquired), Delivery::kNotSent, nullptr};
  }
  return std::nullopt;
}

void Attempt::hold(const upstream::Lease& lease) {
  lease_ = lease;
  leased_at_ = loop_.now();
  state_ = State::kLeased;
  lease_.stream->set_events(*this);
}

void Attempt::on_lease(const upstream::Lease& lease) {
  hold(lease);
  events_.on_leased();
}

void Attempt::on_no_lease(const Error& error, const upstream::Endpoint* endpoint) {
  state_ = State::kOver;
  const Stage stage = endpoint == nullptr ? Stage::kQueue : Stage::kConnect;
  events_.on_attempt_failed({stage, error, Delivery::kNotSent, endpoint});
}

void Attempt::expect_head() {
  timer_.arm(cluster_.config().timeouts.first_byte);
}

void Attempt::expect_bytes() {
  timer_.arm(cluster_.config().timeouts.between_bytes);
}

void Attempt::on_head(http::ResponseHead&& head) {
  has_head_ = true;
  timer_.cancel();
  events_.on_head(std::move(head));
}

Stage Attempt::stage() const {
  if (has_head_) return Stage::kBody;
  return lease_.stream->unsent() > 0 ? Stage::kSend : Stage::kFirstByte;
}

void Attempt::on_broken(const Error& error) {
  const Failure failure{stage(), error, lease_.stream->delivery(), lease_.endpoint};
  abandon();
  events_.on_attempt_failed(failure);
}

// The application has only now all that was queued: its time to answer begins.
void Attempt::on_writable() {
  if (!has_head_) expect_head();
  events_.on_upstream_writable();
}

void Attempt::on_timer(event::Timer&) {
  // A request that is still on its way is under the codec's deadline for sending.
  if (!has_head_ && lease_.stream->unsent() > 0) return expect_head();
  on_broken({ErrorCode::kTimeout, Side::kUpstream, "the application did not answer in time"});
}

void Attempt::finish() {
  SLUICE_ASSERT(state_ == State::kLeased);
  state_ = State::kOver;
  timer_.cancel();
  lease_.stream->finish();
}

void Attempt::abandon() {
  timer_.cancel();
  const State was = std::exchange(state_, State::kOver);
  if (was == State::kLeased) lease_.stream->reset();
  if (was == State::kWaiting) ticket_.reset();
}

}  // namespace sluice::exchange
