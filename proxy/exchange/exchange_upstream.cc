// The way of an exchange to the application: trying, sending, failing over.
#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/base/text.h"
#include "proxy/exchange/exchange.h"

namespace sluice::exchange {

using Delivery = http::ClientStream::Delivery;
using http::HeaderId;

// False: there will be no attempt; the answer is set.
bool Exchange::begin_attempt() {
  if (attempt_ != nullptr) services_.loop.defer_delete(std::move(attempt_));
  AttemptEvents& events = *this;
  attempt_ = std::make_unique<Attempt>(services_.loop, *cluster_, events);
  ++attempts_;
  request_sent_ = false;
  wish_.bytes = request_relay_->stored();
  auto failure = attempt_->start(wish_);
  if (!failure) return true;
  if (last_failure_ && failure->error.code == ErrorCode::kUnreachable) {
    failure = std::move(*last_failure_);  // no endpoint is left: the last one's fault is the answer
  }
  fail_upstream(*failure);
  return false;
}

void Exchange::on_leased() {
  send_request();
  advance();
}

void Exchange::send_request() {
  http::ClientStream& upstream = attempt_->stream();
  last_lease_ = attempt_->lease();
  if (streams_request()) {
    upstream.send_head(request_);
    if (request_.body.is_none()) {
      upstream.send_end();
      request_sent_ = true;
    } else {
      pump_request();
      if (phase_ != Phase::kAttempt) return;
    }
  } else {
    if (!request_.body.is_none()) request_.body = http::BodySize::exactly(request_relay_->stored());
    upstream.send_head(request_);
    upstream.send_body(request_relay_->replay());
    upstream.send_end();
    request_sent_ = true;
  }
  upstream.flush();
  attempt_->expect_head();
}

// Streaming: moves what the client has sent on. False: it failed, and the phase has changed.
bool Exchange::pump_request() {
  switch (request_relay_->pump_to(attempt_->stream())) {
    case Flow::kDone: request_sent_ = true; break;
    case Flow::kYields: turn_.arm(Duration{0}); break;
    case Flow::kFailed: fail(request_relay_->outcome()); return false;
    case Flow::kWaitsForSource:
    case Flow::kWaitsForSink: break;
  }
  // An upload that moves is not an application that does not answer.
  if (phase_ == Phase::kAttempt) attempt_->expect_head();
  return true;
}

void Exchange::on_interim(http::ResponseHead&& head) {
  stream_.send_interim(head);
  stream_.flush();
}

void Exchange::on_head(http::ResponseHead&& head) {
  first_byte_ = services_.loop.now() - attempt_->leased_at();
  request_relay_->forget();
  upstream_status_ = head.status;
  const AccelOrders orders = take_accel_orders(head);
  if (!orders.redirect.empty() && !accel_followed_) {
    follow_accel(orders, head);
    return advance();
  }
  const bool is_events = head.headers.get(HeaderId::kContentType).starts_with("text/event-stream");
  buffers_response_ = orders.buffering.value_or(buffering_.response) && !is_events;
  response_ = std::move(head);
  response_local_ = false;
  phase_ = Phase::kRelay;
  advance();
}

// The answer is read to its end: the application's worker is free, however slow the client.
void Exchange::end_attempt() {
  upstream_total_ = services_.loop.now() - attempt_->leased_at();
  services_.observer.metrics().on_upstream_done(last_lease_.endpoint->id(), upstream_status_,
                                                upstream_total_);
  attempt_->finish();
}

// ---- failing ----

void Exchange::on_attempt_failed(const Failure& failure) {
  if (failure.endpoint != nullptr && failure.stage != Stage::kConnect) {
    upstream_total_ = services_.loop.now() - attempt_->leased_at();
    services_.observer.metrics().on_upstream_done(failure.endpoint->id(), 0, upstream_total_);
  }
  if (head_sent_) {
    note_failure(failure, outcome_of_upstream(failure.stage, failure.error));
    break_off(outcome_of_upstream(failure.stage, failure.error));
  } else if (may_retry(failure)) {
    retry(failure);
  } else {
    fail_upstream(failure);
  }
  advance();
}

// DESIGN, law 5: proof, not hope.
bool Exchange::may_retry(const Failure& failure) {
  if (phase_ != Phase::kAttempt || failure.endpoint == nullptr) return false;
  if (failure.error.side != Side::kUpstream) return false;
  const bool can_replay =
      !streams_request() || request_.body.is_none() || !request_relay_->has_begun();
  if (!can_replay) return false;
  // Another endpoint is asked once each; a reused connection that was found closed, once more.
  if (failure.stage == Stage::kConnect) return attempts_ <= cluster_->pool_count();
  if (attempts_ >= upstream_config().retry.attempts) return false;
  const bool proven = failure.delivery != Delivery::kUnknown;
  if (!proven &&
      (failure.error.code == ErrorCode::kTimeout || !http::is_idempotent(request_.method))) {
    return false;
  }
  if (failure.error.code == ErrorCode::kMalformed || failure.error.code == ErrorCode::kTooLarge)
    return false;
  return cluster_->take_retry_token();
}

void Exchange::retry(const Failure& failure) {
  // Where a reused connection was found closed, or there is only this endpoint: the same one, by a
  // new connection.
  const bool stale = failure.stage != Stage::kConnect && !last_lease_.fresh;
  const bool only = failure.stage != Stage::kConnect && cluster_->pool_count() == 1;
  wish_.fresh = true;
  if (!stale && !only) wish_.tried.push_back(failure.endpoint);
  const auto proof = failure.delivery == Delivery::kNotSent ? observe::RetryProof::kNeverSent
                     : failure.delivery == Delivery::kNotReceived
                         ? observe::RetryProof::kNotReceived
                         : observe::RetryProof::kAmbiguous;
  services_.observer.metrics().retried(cluster_->id(), proof);
  last_failure_ = failure;
  services_.loop.defer_delete(std::move(attempt_));
}

void Exchange::fail_upstream(const Failure& failure) {
  const Outcome outcome = outcome_of_upstream(failure.stage, failure.error);
  note_failure(failure, outcome);
  fail(outcome);
}

void Exchange::note_failure(const Failure& failure, const Outcome& outcome) {
  const std::string where =
      upstream_config().name + (failure.endpoint != nullptr ? " " + failure.endpoint->name() : "");
  std::string text = "upstream " + where + ": " + std::string(outcome.reason);
  text += ": " + failure.error.detail + " (" + std::string(request_.method) + " " +
          std::string(request_.path) + ")";
  services_.log.limited(observe::Severity::kWarning, where + std::string(outcome.reason), text);
}

}  // namespace sluice::exchange
