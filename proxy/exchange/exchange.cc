#include "proxy/exchange/exchange.h"

#include <utility>

#include "proxy/base/assert.h"
#include "proxy/exchange/tunnel.h"

namespace sluice::exchange {

Exchange::Exchange(const Services& services, std::shared_ptr<const Generation> generation,
                   const ClientInfo& client, http::ServerStream& stream, http::RequestHead&& head,
                   ExchangeOwner& owner)
    : services_(services),
      generation_(std::move(generation)),
      client_(client),
      stream_(stream),
      owner_(owner),
      began_(services.loop.now()),
      began_wall_(wall_now()),
      request_(std::move(head)),
      original_target_(request_.target),
      deadline_(services.loop.timers(), *this),
      turn_(services.loop.timers(), *this),
      pause_(services.loop.timers(), *this) {
  services_.observer.begun();
}

Exchange::~Exchange() = default;

void Exchange::advance() {
  for (Next next = Next::kGo; next == Next::kGo;) {
    switch (phase_) {  // the order here is the order of life
      case Phase::kRoute: next = route(); break;
      case Phase::kFilter: next = filter(); break;
      case Phase::kReceive: next = receive(); break;
      case Phase::kAttempt: next = attempt(); break;
      case Phase::kRelay: next = relay(); break;
      case Phase::kPipe: next = tunnel(); break;
      case Phase::kFinish: next = finish(); break;
      case Phase::kOver: return;
    }
  }
  services_.memory.look();
}

Exchange::Next Exchange::route() {
  const Hop hop{client_.address.view(), client_.local_port,      request_.secure,
                client_.trusted,        client_.trusted_proxies, client_.certificate};
  forwarded_ = rewrite_request(hop, request_);
  request_.origin = {
      forwarded_.client, client_.port, client_.local_address, client_.local_port, {}};
  if (request_.is("TRACE") || forwarded_.is_last || request_.target == "*") {
    answer_for_this_hop();
    return Next::kGo;
  }
  if (request_.path.empty()) {
    fail({400, "bad_path"});
    return Next::kGo;
  }
  find_route();
  return Next::kGo;
}

Exchange::Next Exchange::filter() {
  switch (filters_.on_request(*this, request_)) {
    case filter::Verdict::kWait: return Next::kWait;
    case filter::Verdict::kAnswered: phase_ = Phase::kRelay; break;
    case filter::Verdict::kContinue: phase_ = Phase::kReceive; break;
  }
  return Next::kGo;
}

// An action of our own answers at once. For an upstream the body is taken first, unless it may
// stream.
Exchange::Next Exchange::receive() {
  if (cluster_ == nullptr) {
    act();
    if (phase_ != Phase::kReceive) return Next::kGo;
  }
  if (!request_.upgrade.empty() && upgrade_ == nullptr && !admit_tunnel()) return Next::kGo;
  if (!request_relay_) {
    const uint64_t most = route_->config->body ? route_->config->body->count : client_.body_limit;
    if (request_.body.length > most) {
      fail({413, "body_too_large"});
      return Next::kGo;
    }
    request_relay_.emplace(stream_, filters_, services_.spill, buffering_,
                           services_.memory.spill_mark(), most);
  }
  if (!request_.body.is_none() && !streams_request()) {
    switch (request_relay_->pump_to_store()) {
      case Flow::kDone: break;
      case Flow::kFailed: fail(request_relay_->outcome()); return Next::kGo;
      default: return Next::kWait;
    }
  }
  phase_ = Phase::kAttempt;
  return Next::kGo;
}

Exchange::Next Exchange::attempt() {
  if (pause_.is_armed()) return Next::kWait;
  if (attempt_ == nullptr) {
    if (!begin_attempt()) return Next::kGo;
    if (attempt_->is_leased()) send_request();
  } else if (attempt_->is_leased() && !request_sent_) {
    pump_request();
  }
  return phase_ == Phase::kAttempt ? Next::kWait : Next::kGo;
}

// The filters see the head of the answer; then it goes out. False: a filter waits.
bool Exchange::open_answer() {
  for (;;) {
    const filter::Verdict verdict = filters_.on_response(*this, *response_);
    if (verdict == filter::Verdict::kWait) return false;
    if (verdict == filter::Verdict::kContinue) break;
  }
  status_ = response_->status;
  if (answer_state_ == AnswerState::kTheirs && status_ == 101) return begin_tunnel(), true;
  response_relay_.emplace(stream_, filters_, services_.spill, buffering_,
                          services_.memory.spill_mark());
  if (answer_state_ == AnswerState::kOurs) {
    if (attempt_ != nullptr) attempt_->abandon();
    response_relay_->from_memory(request_.is("HEAD") ? Chain{} : std::move(local_body_));
  } else {
    response_relay_->from_upstream(attempt_->stream(), buffers_response_);
  }
  stream_.send_head(*response_);
  set_answer_state(AnswerState::kBegun);
  return true;
}

Exchange::Next Exchange::relay() {
  if (!has_begun() && !open_answer()) return Next::kWait;
  if (phase_ == Phase::kPipe) return Next::kGo;
  if (!response_relay_->source_ended() && !request_sent_) {
    pump_request();
    if (phase_ != Phase::kRelay) return Next::kGo;
  }
  const Flow flow = response_relay_->pump();
  const bool reads_upstream = attempt_ != nullptr && attempt_->is_leased();
  if (reads_upstream && response_relay_->source_ended()) end_attempt(true);
  switch (flow) {
    case Flow::kDone: phase_ = Phase::kFinish; return Next::kGo;
    case Flow::kFailed: break_off(response_relay_->outcome()); return Next::kGo;
    case Flow::kYields: turn_.arm(Duration{0}); return Next::kWait;
    case Flow::kWaitsForSource: attempt_->expect_bytes(); return Next::kWait;
    case Flow::kWaitsForSink:
      if (reads_upstream) attempt_->expect_nothing();
      return Next::kWait;
  }
  return Next::kWait;
}

Exchange::Next Exchange::finish() {
  phase_ = Phase::kOver;
  place_.give_back();
  deadline_.cancel();
  turn_.cancel();
  pause_.cancel();
  if (attempt_ != nullptr) {
    attempt_->abandon();
    log_remarks();
  }
  record();
  if (answer_state_ != AnswerState::kBroken) stream_.finish();
  owner_.on_exchange_over(*this);
  return Next::kWait;
}

// ---- news ----

void Exchange::on_broken(const Error& error) {
  if (phase_ == Phase::kPipe) {
    cut_tunnel(observe::TunnelEnd::kClientReset);
    return advance();
  }
  Outcome outcome = outcome_of_client(error);
  if (has_begun() && outcome.status == 408) outcome.reason = "client_send_timeout";
  if (outcome.status == 499 || has_begun()) {
    break_off(outcome);
  } else {
    fail(outcome);
  }
  advance();
}

void Exchange::on_timer(event::Timer& timer) {
  if (&timer == &deadline_) {
    if (phase_ == Phase::kPipe) {
      upgrade_->tunnel->on_time(services_.loop.now());
    } else if (has_begun()) {
      break_off({504, "request_timeout"});
    } else {
      fail({504, "request_timeout"});
    }
  } else if (&timer == &pause_ && phase_ == Phase::kAttempt) {
    go_on();
  }
  advance();
}

uint64_t Exchange::held() const {
  return (request_relay_ ? request_relay_->held() : 0) +
         (response_relay_ ? response_relay_->held() : 0);
}

void Exchange::abort(std::string_view reason) {
  if (phase_ == Phase::kOver) return;
  if (phase_ == Phase::kPipe) {
    if (upgrade_->tunnel->is_open()) reason_ = reason;  // else its end is under way, and polite
    cut_tunnel(observe::TunnelEnd::kCut);
  } else if (!end_event_stream()) {
    fail({503, reason, 1});
  }
  advance();
}

// ---- answers and endings ----

void Exchange::answer(http::ResponseHead&& head, std::string_view body) {
  if (answer_state_ >= AnswerState::kBegun) return;  // too late: a deadline was faster
  Answer made;
  made.head = std::move(head);
  made.body.append_copy(body);
  if (!body.empty()) made.head.body = http::BodySize::exactly(body.size());
  set_answer(std::move(made));
}

// Sets the answer to relay; the caller decides the phase.
void Exchange::set_answer(Answer&& made) {
  response_ = std::move(made.head);
  if (response_->body.is_none() && response_->status >= 200 && response_->status != 204 &&
      response_->status != 304 && !response_->declared_length) {
    response_->body = http::BodySize::exactly(0);
  }
  if (request_.is("HEAD") && response_->body.kind == http::BodySize::Kind::kExact) {
    response_->declared_length = response_->body.length;
    response_->body = http::BodySize::none();
  }
  local_body_ = std::move(made.body);
  set_answer_state(AnswerState::kOurs);
}

void Exchange::set_answer_state(AnswerState next) {
  SLUICE_ASSERT(answer_state_ != AnswerState::kBroken);
  SLUICE_ASSERT(answer_state_ != AnswerState::kBegun || next == AnswerState::kBroken);
  answer_state_ = next;
}

void Exchange::fail(const Outcome& outcome) {
  if (has_begun() || outcome.status == 499) return break_off(outcome);
  reason_ = outcome.reason;
  if (attempt_ != nullptr) attempt_->abandon();
  set_answer(error_answer(outcome));
  phase_ = Phase::kRelay;
}

void Exchange::break_off(const Outcome& outcome) {
  reason_ = outcome.reason;
  if (!has_begun()) status_ = outcome.status;
  set_answer_state(AnswerState::kBroken);
  stream_.reset();
  phase_ = Phase::kFinish;
}

}  // namespace sluice::exchange
