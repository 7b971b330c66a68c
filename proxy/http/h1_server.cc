#include "proxy/http/h1_server.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <string>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/h1_server_request.h"
#include "proxy/http/h2_server.h"
#include "proxy/http/head_parser.h"
#include "proxy/http/head_writer.h"

namespace sluice::http {
namespace {

constexpr int kHeadsPerTick = 32;  // of one connection's pipeline; then the others have their turn

}  // namespace

H1Server::H1Server(std::unique_ptr<net::Transport> transport, event::Timers& timers,
                   const ServerLimits& limits, ServerOwner& owner)
    : transport_(std::move(transport)),
      timers_(timers),
      limits_(limits),
      owner_(owner),
      timer_(timers, *this) {
  transport_->set_events(*this);
}

H1Server::~H1Server() = default;

void H1Server::start(std::string_view already_read) {
  SLUICE_ASSERT(phase_ == Phase::kNew && request_ == nullptr);
  on_stack_ = true;
  if (!already_read.empty()) {
    request_ = std::make_unique<Request>();
    request_->in.put(already_read);
    phase_ = Phase::kHead;
  }
  head_due_ = true;
  catch_up();
}

void H1Server::close(std::string_view reason) {
  const bool waits = phase_ == Phase::kNew || phase_ == Phase::kIdle;
  if (waits && has_unread()) return;
  because(Ending::kOrder);
  switch (phase_) {
    case Phase::kNew:
    case Phase::kIdle: return linger();
    case Phase::kHead: return reject({503, reason}, RequestHead{});
    case Phase::kStream: return break_off({ErrorCode::kCancelled, Side::kUs, "connection closed"});
    case Phase::kFinish:
    case Phase::kLinger: return end();
    case Phase::kOver: return;
  }
}

// -- news from below --

void H1Server::on_readable() {
  on_stack_ = true;
  switch (phase_) {
    case Phase::kNew:
    case Phase::kIdle:
    case Phase::kHead: head_due_ = true; break;
    case Phase::kStream:
      if (request_->receiving == Request::Receiving::kWanted) {
        stop_waiting();
        request_->events->on_readable();
      } else {
        const bool had_ended = client_ended_;
        look_ahead();
        if (client_ended_ && !had_ended && !request_->dead) request_->events->on_client_ended();
      }
      break;
    case Phase::kFinish: settle(); break;
    case Phase::kLinger: swallow(); break;
    case Phase::kOver: break;
  }
  catch_up();
}

void H1Server::on_writable() {
  if (request_ == nullptr || !request_->blocked) return;
  on_stack_ = true;
  request_->blocked = false;
  if (phase_ == Phase::kFinish) {
    settle();
  } else if (phase_ == Phase::kStream) {
    flush();
    if (request_->out.empty() && !request_->dead) request_->events->on_writable();
  }
  catch_up();
}

void H1Server::on_timer(event::Timer&) {
  timer_at_ = TimePoint::max();
  on_stack_ = true;
  expire();
  catch_up();
  watch();
}

// -- heads --

void H1Server::next_head() {
  head_due_ = false;
  if (request_ == nullptr) request_ = std::make_unique<Request>();
  Request& r = *request_;
  const HeadLimits limits{limits_.request_line, limits_.header_block, limits_.header_count};
  for (;;) {
    const bool h2 = requests_ == 0 && may_be_h2(r.in.bytes());
    if (h2 && r.in.size() >= kH2Preface.size()) return hand_to_h2();
    if (!h2 && !r.in.empty()) {
      RequestHead head;
      const auto taken = parse_request_head(r.in.bytes(), limits, r.scanned, head);
      if (!taken) return reject(taken.error(), head);
      if (*taken > 0) {
        r.in.consume(*taken);
        return begin_stream(std::move(head));
      }
    }
    const net::Io io = fill();
    if (io.state == net::Io::State::kBlocked) break;
    if (io.state != net::Io::State::kOk) return on_head_cut(io);
    if (phase_ == Phase::kHead) continue;
    const bool was_idle = phase_ == Phase::kIdle;
    phase_ = Phase::kHead;
    deadline_ = TimePoint::max();
    if (was_idle) owner_.on_idle(false);
  }
  // RFC 9112 §2.2: a stray CRLF after a body is no beginning of a request.
  if (r.in.bytes() == "\r\n") r.in.clear();
  if (r.in.empty()) return become_idle();
  if (deadline_ == TimePoint::max()) deadline_ = timers_.now() + limits_.header;
  r.in.rest();
  watch();
}

// RFC 9113 §3.3: the client knows that we speak it. Over TLS, ALPN would have said so.
bool H1Server::may_be_h2(std::string_view begin) const {
  if (begin.empty() || begin.front() != kH2Preface.front()) return false;
  if (limits_.streams == 0 || transport_->is_secure()) return false;
  return begin.substr(0, kH2Preface.size()) == kH2Preface.substr(0, begin.size());
}

void H1Server::hand_to_h2() {
  const std::unique_ptr<Request> request = std::move(request_);
  phase_ = Phase::kOver;
  over_told_ = true;  // by this
  deadline_ = TimePoint::max();
  timer_.cancel();
  owner_.on_h2(std::move(transport_), request->in.bytes());
}

void H1Server::begin_stream(RequestHead&& head) {
  Request& r = *request_;
  head.secure = transport_->is_secure();
  const auto framing = frame_request(head);
  if (!framing) return reject(framing.error(), head);
  ++requests_;
  phase_ = Phase::kStream;
  deadline_ = TimePoint::max();
  r.http10 = head.version == Version::kHttp10;
  r.to_head = head.is("HEAD");
  r.continue_owed = head.expects_continue;
  r.client_closes = !framing->keep_alive;
  r.close = r.client_closes || (limits_.requests > 0 && requests_ >= limits_.requests);
  if (framing->body != BodyFraming::kNone) {
    const HeadLimits trailers{limits_.request_line, limits_.header_block, limits_.header_count};
    r.decoder = BodyDecoder(framing->body, head.body.length, trailers);
    if (!r.decoder.is_complete()) r.receiving = Request::Receiving::kBody;
  }
  r.in.rest();
  ServerEvents& events = owner_.on_request(*this, std::move(head));
  // It may have been answered and finished in there; the next one only begins in catch_up().
  if (phase_ == Phase::kStream) r.events = &events;
}

void H1Server::reject(const HeadFault& fault, const RequestHead& head) {
  Request& r = *request_;
  std::string text = std::to_string(fault.status);
  text.append(" ").append(reason_of(fault.status)).append("\n");
  ResponseHead answer;
  answer.status = fault.status;
  answer.reason = reason_of(fault.status);
  answer.body = BodySize::exactly(text.size());
  answer.headers.add(HeaderId::kContentType, "text/plain");
  // RFC 9110 §15.5.6: 405 says what would be allowed.
  if (fault.status == 405) {
    answer.headers.add(HeaderId::kAllow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  }
  WireFraming wire;
  wire.close = true;
  write_response_head(answer, wire, http_date(timers_.now()), r.out);
  if (!head.is("HEAD")) r.out.append_copy(text);
  r.close = true;
  r.receiving = Request::Receiving::kBroken;
  phase_ = Phase::kFinish;
  deadline_ = TimePoint::max();
  owner_.on_rejected({fault.status, fault.reason, head.method, head.target});
  if (phase_ == Phase::kFinish) settle();
}

void H1Server::on_head_cut(const net::Io& io) {
  if (request_->in.empty() || request_->in.bytes() == "\r\n") return end();
  // A half-closed client can still read why.
  if (io.state == net::Io::State::kEnd) return reject({400, "incomplete_header"}, RequestHead{});
  owner_.on_rejected({400, "client_reset", {}, {}});
  end();
}

void H1Server::become_idle() {
  request_.reset();
  if (phase_ != Phase::kIdle) {
    const bool fresh = requests_ == 0;
    deadline_ = timers_.now() + (fresh ? limits_.first_byte : limits_.idle);
    phase_ = Phase::kIdle;
    owner_.on_idle(true);
  }
  watch();
}

// -- leaving --

// Said again with each news until the answer is out and the body read or given up.
void H1Server::settle() {
  Request& r = *request_;
  if (!write_out() || !discard_body()) return end();
  if (!r.out.empty()) return;
  // RFC 9112 §9.6: lingering is for clients that may still send. One that asked for the end does
  // not, and nothing of it is unread; but over TLS both still say goodbye (RFC 8446 §6.1).
  if (r.close && r.client_closes && r.is_received() && r.in.empty() && !transport_->is_secure()) {
    because(Ending::kAnswer);
    return end();
  }
  if (r.close) return linger();
  if (r.is_received()) return next_request();
  if (deadline_ == TimePoint::max()) deadline_ = timers_.now() + limits_.linger;
  watch();
}

// What the client still sends of its body is read, so that the answer is not reset underneath and
// the connection can go on. False when the connection failed.
bool H1Server::discard_body() {
  Request& r = *request_;
  while (r.receiving == Request::Receiving::kBody) {
    if (r.discarded > limits_.linger_bytes) break;
    if (r.in.empty()) {
      const net::Io io = fill();
      if (io.state == net::Io::State::kBlocked) {
        r.in.rest();
        return true;
      }
      if (io.state == net::Io::State::kFailed) return false;
      if (io.state == net::Io::State::kEnd) break;
    }
    Chain unwanted;
    const auto taken = r.decoder.decode(r.in.block(), r.in.bytes(), unwanted);
    if (!taken) break;
    r.in.consume(*taken);
    r.discarded += *taken;
    if (r.decoder.is_complete()) r.receiving = Request::Receiving::kEnd;
  }
  if (!r.is_received()) {
    r.receiving = Request::Receiving::kBroken;
    r.close = true;
  }
  return true;
}

void H1Server::next_request() {
  deadline_ = TimePoint::max();
  if (request_->in.empty() && client_ended_) return end();
  if (request_->in.empty() && !transport_->may_be_readable()) return become_idle();
  auto next = std::make_unique<Request>();
  next->in = std::move(request_->in);
  request_ = std::move(next);
  phase_ = Phase::kHead;
  head_due_ = true;
  later();
}

// Our FIN, then the client's, within bounds (DESIGN, law 7): closing with unread bytes would reset
// the connection and destroy what the client has not read yet.
void H1Server::linger() {
  because(Ending::kAnswer);
  request_.reset();
  if (client_ended_) return end();
  transport_->shutdown_write();
  phase_ = Phase::kLinger;
  deadline_ = timers_.now() + limits_.linger;
  watch();
  swallow();
}

void H1Server::swallow() {
  const BlockRef scratch = BlockRef::make();
  while (lingered_ <= limits_.linger_bytes) {
    const net::Io io = transport_->read(scratch->data(), scratch->capacity());
    if (io.state == net::Io::State::kBlocked) return;
    if (io.state != net::Io::State::kOk) break;
    lingered_ += io.count;
  }
  end();
}

uint64_t H1Server::held() const {
  return request_ == nullptr ? 0 : request_->in.held() + request_->out.pinned();
}

// The first cause counts.
void H1Server::because(Ending why) {
  if (ending_ == Ending::kOpen) ending_ = why;
}

// The last look before an idle connection is closed (DESIGN, law 3): what the loop has not told.
bool H1Server::has_unread() const {
  int unread = 0;
  return ::ioctl(transport_->descriptor(), FIONREAD, &unread) == 0 && unread > 0;
}

void H1Server::end() {
  because(Ending::kClient);
  phase_ = Phase::kOver;
  request_.reset();
  deadline_ = TimePoint::max();
  timer_.cancel();
  later();
}

// -- news upwards, and time --

void H1Server::later() {
  if (on_stack_) return;
  timer_.arm(Duration{0});
  timer_at_ = timers_.now();
}

void H1Server::catch_up() {
  on_stack_ = true;
  for (int heads = 0;;) {
    if (phase_ == Phase::kStream && request_->news) {
      const Error error = *std::exchange(request_->news, std::nullopt);
      request_->events->on_broken(error);
    } else if (head_due_ && phase_ <= Phase::kHead && heads < kHeadsPerTick) {
      ++heads;
      next_head();
    } else {
      break;
    }
  }
  on_stack_ = false;
  if (phase_ == Phase::kOver && !over_told_) {
    over_told_ = true;
    owner_.on_over();
  } else if (phase_ <= Phase::kHead && head_due_) {
    later();
  }
}

TimePoint H1Server::earliest() const {
  return request_ == nullptr ? deadline_ : std::min(deadline_, request_->send_deadline);
}

void H1Server::watch() {
  const TimePoint next = earliest();
  if (next == TimePoint::max() || (timer_.is_armed() && timer_at_ <= next)) return;
  timer_.arm(next - timers_.now());
  timer_at_ = next;
}

void H1Server::expire() {
  const TimePoint now = timers_.now();
  if (earliest() > now) return;
  switch (phase_) {
    case Phase::kNew:
    case Phase::kIdle:
      deadline_ = now + limits_.header;
      if (has_unread()) return;  // its news is on the way
      because(Ending::kTimeout);
      return linger();
    case Phase::kHead:
      because(Ending::kTimeout);
      return reject({408, "header_timeout"}, RequestHead{});
    case Phase::kStream:
      because(Ending::kTimeout);
      if (request_->send_deadline <= now) {
        request_->send_deadline = TimePoint::max();
        request_->late = true;
        return break_off({ErrorCode::kTimeout, Side::kClient, "send"});
      }
      stop_waiting();
      return break_off({ErrorCode::kTimeout, Side::kClient, "body"});
    case Phase::kFinish:
      because(Ending::kTimeout);
      if (request_->send_deadline > now) return linger();
      request_->late = true;
      return reset();
    case Phase::kLinger: return end();
    case Phase::kOver: return;
  }
}

}  // namespace sluice::http
