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
    const auto& error = std::get<Error>(acquired);
    const bool held = error.code == ErrorCode::kOverloaded && cluster_.is_away();
    return Failure{held ? Stage::kHeld : Stage::kQueue, error};
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
  Stage stage = Stage::kConnect;
  if (endpoint == nullptr) {
    stage = error.code == ErrorCode::kTimeout ? Stage::kQueue : Stage::kHeld;
  }
  events_.on_attempt_failed({stage, error, Delivery::kNotSent, endpoint});
}

void Attempt::expect_head() {
  const Duration per_try = cluster_.config().retry.per_try;
  const Duration first_byte = cluster_.config().timeouts.first_byte;
  const bool in_two = !is_late_ && per_try > Duration{0} && per_try < first_byte;
  rest_ = in_two ? first_byte - per_try : Duration{0};
  timer_.arm(first_byte - rest_);
}

void Attempt::expect_bytes() {
  timer_.arm(cluster_.config().timeouts.between_bytes);
}

void Attempt::on_head(http::ResponseHead&& head) {
  has_head_ = true;
  timer_.cancel();
  lease_.endpoint->note(upstream::EndpointNews::kAnswered);
  events_.on_head(std::move(head));
}

Stage Attempt::stage() const {
  if (has_head_) return Stage::kBody;
  return lease_.stream->unsent() > 0 ? Stage::kSend : Stage::kFirstByte;
}

Failure Attempt::failure(const Error& error) const {
  return {stage(), error, lease_.stream->delivery(), lease_.endpoint, lease_.fresh};
}

void Attempt::on_broken(const Error& error) {
  const Failure failed = failure(error);
  // An idle connection that breaks may be the keep-alive's end; this one was made for the request.
  const bool has_spoken =
      has_head_ || error.code == ErrorCode::kMalformed || error.code == ErrorCode::kTooLarge ||
      error.code == ErrorCode::kOverloaded || error.code == ErrorCode::kUnsupported;
  const bool never_came = !has_spoken && lease_.fresh && error.side == Side::kUpstream;
  if (never_came) lease_.endpoint->note(upstream::EndpointNews::kBroken);
  abandon();
  events_.on_attempt_failed(failed);
}

// The application has only now all that was queued: its time to answer begins.
void Attempt::on_writable() {
  if (!has_head_) expect_head();
  events_.on_upstream_writable();
}

void Attempt::on_timer(event::Timer&) {
  // A request that is still on its way is under the codec's deadline for sending.
  if (!has_head_ && lease_.stream->unsent() > 0) return expect_head();
  if (!has_head_ && rest_ > Duration{0}) {
    is_late_ = true;
    timer_.arm(std::exchange(rest_, Duration{0}));
    return events_.on_late();
  }
  on_broken({ErrorCode::kTimeout, Side::kUpstream, "the application did not answer in time"});
}

std::string Attempt::take_remarks() {
  return std::exchange(remarks_, {});
}

void Attempt::finish() {
  SLUICE_ASSERT(state_ == State::kLeased);
  state_ = State::kOver;
  timer_.cancel();
  remarks_ = lease_.stream->take_remarks();
  lease_.stream->finish();
}

void Attempt::abandon() {
  timer_.cancel();
  const State was = std::exchange(state_, State::kOver);
  if (was == State::kLeased) {
    remarks_ = lease_.stream->take_remarks();
    lease_.stream->reset();
  }
  if (was == State::kWaiting) ticket_.reset();
}

}  // namespace sluice::exchange
