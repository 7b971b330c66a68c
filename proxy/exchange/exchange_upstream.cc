// The way of an exchange to the application: trying, sending, failing over.
#include <cstdint>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/base/text.h"
#include "proxy/exchange/affinity.h"
#include "proxy/exchange/exchange.h"

namespace sluice::exchange {

using Delivery = http::ClientStream::Delivery;
using http::HeaderId;

namespace {

// A request that waits longer is worth asking whether its client still does; and what is asked is
// answered by then, by a client as far away as a load balancer is.
constexpr Duration kProbePause = std::chrono::milliseconds(5);

observe::RetryProof proof_of(Delivery delivery) {
  switch (delivery) {
    case Delivery::kNotSent: return observe::RetryProof::kNeverSent;
    case Delivery::kNotReceived: return observe::RetryProof::kNotReceived;
    case Delivery::kUnknown: break;
  }
  return observe::RetryProof::kAmbiguous;
}

}  // namespace

void Exchange::make_wish() {
  const config::Upstream& upstream = upstream_config();
  wish_.unsafe = !http::is_idempotent(request_.method);
  wish_.preface = proxy_preface();
  if (upstream.balance == config::Balance::kRingHash) {
    const auto key = hash_key(upstream.hash, request_, forwarded_.client);
    wish_.has_key = key.has_value();
    wish_.key = key.value_or(0);
  }
  if (upstream.sticky.cookie.empty()) return;
  const std::string_view value = cookie_of(request_.headers, upstream.sticky.cookie);
  if (value.empty()) return;
  wish_.sticky = cluster_->find_endpoint([&upstream, value](const std::string& name) {
    return sticky_value(upstream.name, name) == value;
  });
}

// What the application's connection begins with, where it wants to know the client by the PROXY
// protocol: the believed one. A port is known of one that called us, or the proxy that says so.
std::string Exchange::proxy_preface() const {
  const config::ProxyVersion version = upstream_config().proxy_protocol;
  if (version == config::ProxyVersion::kOff) return {};
  const bool is_caller = forwarded_.client == client_.address.view();
  const auto client = net::ip_port_of(forwarded_.client, is_caller ? client_.port : 0);
  const net::IpPort called = client_.proxied != nullptr
                                 ? client_.proxied->header.destination
                                 : net::SocketAddress::of_local(client_.descriptor).ip_port();
  return net::write_proxy_header(version, client.value_or(net::IpPort{}), called);
}

// The client had no cookie, or one of another endpoint: it is told whose it is now.
void Exchange::stick_to_endpoint(http::ResponseHead& head) {
  const config::Upstream& upstream = upstream_config();
  const std::string value = sticky_value(upstream.name, last_lease_.endpoint->name());
  if (cookie_of(request_.headers, upstream.sticky.cookie) == value) return;
  head.headers.add(HeaderId::kSetCookie, sticky_cookie(upstream.sticky, value, forwarded_.secure));
}

// False: there will be no attempt; the answer is set.
bool Exchange::begin_attempt() {
  if (attempt_ != nullptr) services_.loop.defer_delete(std::move(attempt_));
  AttemptEvents& events = *this;
  attempt_ = std::make_unique<Attempt>(services_.loop, *cluster_, events);
  if (attempts_++ == 0) tried_since_ = services_.loop.now();
  request_sent_ = false;
  wish_.bytes = request_relay_->stored();
  auto failure = attempt_->start(wish_);
  if (!failure) {
    if (attempt_->is_waiting()) pause_.arm(kProbePause);
    return true;
  }
  if (last_failure_ && failure->error.code == ErrorCode::kUnreachable) {
    failure = std::move(*last_failure_);  // no endpoint is left: the last one's fault is the answer
  }
  fail_upstream(*failure);
  return false;
}

// A client that closed has sent a FIN, as one that half-closed has: it is asked which it is when
// its request has waited for a moment, be it for a place or for an endpoint; or at once when it is
// still with us, begun and not sent to its end.
void Exchange::on_client_ended() {
  if (phase_ != Phase::kAttempt || attempt_ == nullptr || pause_.is_armed()) return;
  const bool is_ours = attempt_->is_leased() && attempt_->stream().delivery() == Delivery::kNotSent;
  if (attempt_->is_waiting() || is_ours) probe_client();
}

void Exchange::probe_client() {
  if (stream_.probe()) asked_at_ = services_.loop.now();
}

// Held, and its turn has come: it is not sent before a client that has left could have said so.
bool Exchange::awaits_client() {
  if (attempt_->lease().queued < Duration{0}) return false;
  probe_client();
  const Duration left = asked_at_ + kProbePause - services_.loop.now();
  if (asked_at_ == TimePoint{} || left <= Duration{0}) return false;
  pause_.arm(left);
  return true;
}

void Exchange::on_leased() {
  pause_.cancel();
  if (!awaits_client()) send_request();
  advance();
}

// The pause is over, whatever it was for.
void Exchange::go_on() {
  if (attempt_ == nullptr) return;  // the next try
  if (attempt_->is_leased()) return send_request();
  probe_client();
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
    const bool has_body = !request_.body.is_none();
    if (has_body) request_.body = http::BodySize::exactly(request_relay_->stored());
    upstream.send_head(request_);
    if (has_body) upstream.send_body(request_relay_->replay());
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
  if (head.status != 101) {
    upgrade_.reset();
  } else if (!request_sent_) {
    // RFC 9110 §7.8: not before the request was received.
    fail_upstream(attempt_->failure(
        {ErrorCode::kMalformed, Side::kUpstream, "101 before the request was whole"}));
    return advance();
  }
  first_byte_ = services_.loop.now() - attempt_->leased_at();
  request_relay_->forget();
  upstream_status_ = head.status;
  cluster_->on_result(last_lease_, head.status, first_byte_);
  if (!upstream_config().sticky.cookie.empty()) stick_to_endpoint(head);
  const AccelOrders orders = take_accel_orders(head);
  if (!orders.redirect.empty() && !accel_followed_) {
    follow_accel(orders, head);
    return advance();
  }
  const bool is_events = head.headers.get(HeaderId::kContentType).starts_with("text/event-stream");
  buffers_response_ = orders.buffering.value_or(buffering_.response) && !is_events;
  response_ = std::move(head);
  set_answer_state(AnswerState::kTheirs);
  phase_ = Phase::kRelay;
  advance();
}

// The answer is read to its end: the application's worker is free, however slow the client. Or
// nobody waits for the rest of it.
void Exchange::end_attempt(bool well) {
  upstream_total_ = services_.loop.now() - attempt_->leased_at();
  services_.observer.metrics().on_upstream_done(last_lease_.endpoint->id(), upstream_status_,
                                                upstream_total_);
  if (well) {
    attempt_->finish();
  } else {
    attempt_->abandon();
  }
  log_remarks();
}

// ---- failing ----

void Exchange::on_attempt_failed(const Failure& failure) {
  log_remarks();
  if (phase_ == Phase::kPipe) {
    cut_tunnel(observe::TunnelEnd::kUpstreamReset);
    return advance();
  }
  count_failure(failure);
  if (has_begun()) {
    note_failure(failure, outcome_of_upstream(failure.stage, failure.error));
    break_off(outcome_of_upstream(failure.stage, failure.error));
  } else if (!retry(failure, false)) {
    fail_upstream(failure);
  }
  advance();
}

// A try that is slow is given up for another where that is harmless; else it is waited for.
void Exchange::on_late() {
  const Failure failure =
      attempt_->failure({ErrorCode::kTimeout, Side::kUpstream, "no answer within retry.per_try"});
  if (retry(failure, true)) advance();
}

// Requires: the attempt is still there.
void Exchange::count_failure(const Failure& failure) {
  if (failure.endpoint == nullptr || failure.stage == Stage::kConnect) return;
  upstream_total_ = services_.loop.now() - attempt_->leased_at();
  services_.observer.metrics().on_upstream_done(failure.endpoint->id(), 0, upstream_total_);
  // Not of the endpoint's making: a keep-alive that had ended, a client's fault, an answer cut.
  const bool stale = !failure.fresh && failure.delivery != Delivery::kUnknown;
  if (stale || failure.error.side != Side::kUpstream || failure.stage == Stage::kBody) return;
  cluster_->on_result(attempt_->lease(), 0, upstream_total_);
}

// False: it is not, and nothing has changed.
bool Exchange::retry(const Failure& failure, bool is_late) {
  RetryQuestion question;
  question.stage = failure.stage;
  question.proof = proof_of(failure.delivery);
  question.code = failure.error.code;
  question.side = failure.error.side;
  question.is_late = is_late;
  question.fresh = failure.fresh;
  question.is_repeatable = is_repeatable(request_, route_->config->retry);
  question.can_replay =
      !streams_request() || request_.body.is_none() || !request_relay_->has_begun();
  question.has_answer = phase_ != Phase::kAttempt;
  question.may_wait =
      cluster_->holds() && services_.loop.now() < tried_since_ + upstream_config().hold.timeout;
  question.tries = attempts_ - patient_tries_;
  question.free_tries = free_tries_;
  question.most = upstream_config().retry.attempts;
  const auto pause = pause_to_retry(question);
  if (!pause) return false;
  // By a new connection: to the same endpoint where a stale one was met, or where there is no
  // other.
  wish_.fresh = true;
  if (failure.fresh && cluster_->pool_count() > 1) wish_.tried.push_back(failure.endpoint);
  retried_.add(question.proof);
  services_.observer.metrics().retried(cluster_->id(), question.proof);
  last_failure_ = failure;
  if (is_late) count_failure(failure);
  attempt_->abandon();
  log_remarks();
  services_.loop.defer_delete(std::move(attempt_));
  if (*pause > Duration{0}) pause_.arm(*pause);
  return true;
}

// DESIGN, law 5. Nothing: it may not be tried again.
std::optional<Duration> Exchange::pause_to_retry(const RetryQuestion& question) {
  const RetryVerdict verdict = may_retry(question);
  switch (verdict) {
    case RetryVerdict::kNo: return std::nullopt;
    case RetryVerdict::kAtOnce: ++free_tries_; return Duration{0};
    case RetryVerdict::kPatiently: ++patient_tries_; break;
    case RetryVerdict::kAfterPause: break;
  }
  const auto now = services_.loop.now();
  const auto mixed = static_cast<uint64_t>(now.time_since_epoch().count()) ^
                     static_cast<uint64_t>(reinterpret_cast<uintptr_t>(this));
  const uint64_t random = mixed * 0x9e3779b97f4a7c15 >> 17;
  const Duration pause = pause_before(attempts_ - free_tries_, upstream_config().retry, random);
  const Duration whole = route_->config->timeouts.request;
  if (whole > Duration{0} && now + pause >= began_ + whole) return std::nullopt;
  if (verdict == RetryVerdict::kAfterPause && !cluster_->take_retry_token()) return std::nullopt;
  return pause;
}

// FastCGI's STDERR. Requires: the attempt is over, and still there.
void Exchange::log_remarks() {
  const std::string remarks = attempt_->take_remarks();
  if (remarks.empty()) return;
  const std::string where = upstream_config().name + " " + last_lease_.endpoint->name();
  services_.log.limited(observe::Severity::kWarning, "remarks " + where,
                        "upstream " + where + " says \"" + escaped(remarks) + "\" (" +
                            std::string(request_.method) + " " + std::string(request_.path) + ")");
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
