// The stream of an H1Server: what the exchange says between on_request() and finish().
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/h1_server.h"
#include "proxy/http/h1_server_request.h"
#include "proxy/http/head_writer.h"
#include "proxy/http/keep_alive.h"

namespace sluice::http {
namespace {

constexpr Duration kRateGrace = std::chrono::seconds(10);

// An answer that ends with the connection looks whole when it is cut by a FIN; only RST tells. Law
// 7 forbids this to whole answers; for a broken one, losing its tail is no loss.
void close_by_reset(int descriptor) {
  const linger at_once{1, 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// How long that may still be waited for, after `waited`, if so many bytes are to come at least at
// that rate.
Duration left_at(uint64_t rate, uint64_t bytes, Duration waited) {
  const std::chrono::duration<double> due(static_cast<double>(bytes) / static_cast<double>(rate));
  const auto allowed = std::max(kRateGrace, std::chrono::duration_cast<Duration>(due));
  return std::max(allowed - waited, Duration{0});
}

// Of what was given to the kernel, what the client has not taken yet.
uint64_t unacknowledged(int descriptor) {
  int bytes = 0;
  return ::ioctl(descriptor, SIOCOUTQ, &bytes) == 0 ? static_cast<uint64_t>(bytes) : 0;
}

// RFC 9110 §6.4.1: these never have content.
bool is_bodyless(int status) {
  return status == 204 || status == 304 || status < 200;
}

}  // namespace

// -- sending --

void H1Server::send_interim(const ResponseHead& head) {
  Request& r = *request_;
  if (r.http10 || r.sending != Request::Sending::kHead) return;
  WireFraming wire;
  wire.begun = std::exchange(r.begun, false);
  write_response_head(head, wire, {}, r.out);
}

void H1Server::close_after() {
  request_->close = true;
}

// A client that only half-closed takes the bytes and waits on. The kernel of one that has closed
// answers RST; where it is not through to us yet when an answer begins, nothing is lost but this.
bool H1Server::probe() {
  Request& r = *request_;
  look_ahead();
  const bool may_begin = r.sending == Request::Sending::kHead && r.out.empty() && !r.begun;
  if (!client_ended_ || r.dead || !may_begin) return false;
  r.begun = true;
  r.out.append_copy(kProtocol);
  flush();
  return true;
}

void H1Server::send_head(const ResponseHead& head) {
  Request& r = *request_;
  SLUICE_ASSERT(r.sending == Request::Sending::kHead);
  r.sending = Request::Sending::kBody;
  if (head.status == 101 && !head.upgrade.empty()) return begin_tunnel(head);
  if (r.to_head || is_bodyless(head.status) || head.body.is_none()) {
    r.framing = BodyFraming::kNone;
  } else if (!head.body.is_unknown()) {
    r.framing = BodyFraming::kLength;
    r.unsent_length = head.body.length;
  } else {
    // RFC 9112 §6.1: HTTP/1.0 does not know chunked.
    r.framing = r.http10 ? BodyFraming::kUntilClose : BodyFraming::kChunked;
  }
  // A body that may never come, or is too long to be read for nothing, cannot be waited for.
  const bool unread = !r.is_received();
  const uint64_t left = unread ? r.decoder.left() : 0;
  const bool too_long = left != UINT64_MAX && left > limits_.linger_bytes;
  const bool broken = r.receiving == Request::Receiving::kBroken;
  if (draining_ || broken || too_long || (unread && r.continue_owed)) r.close = true;
  if (r.framing == BodyFraming::kUntilClose) r.close = true;
  r.continue_owed = false;
  WireFraming wire;
  wire.chunked = r.framing == BodyFraming::kChunked;
  wire.close = r.close;
  wire.keep_alive = r.http10 && !r.close;
  wire.to_head = r.to_head;
  wire.begun = std::exchange(r.begun, false);
  write_response_head(head, wire, http_date(timers_.now()), r.out);
}

// RFC 9110 §7.8: behind this head the connection speaks another protocol, both ways, to its end.
void H1Server::begin_tunnel(const ResponseHead& head) {
  Request& r = *request_;
  SLUICE_ASSERT(r.is_received() || r.receiving == Request::Receiving::kBroken);
  r.tunnel = true;
  r.framing = BodyFraming::kUntilClose;
  r.close = true;
  r.client_closes = false;  // it goes on sending
  if (r.is_received()) {
    r.decoder = BodyDecoder(BodyFraming::kUntilClose, 0, {});
    r.receiving = Request::Receiving::kBody;
  }
  WireFraming wire;
  wire.begun = std::exchange(r.begun, false);
  write_response_head(head, wire, http_date(timers_.now()), r.out);
  keep_alive(transport_->descriptor());
}

void H1Server::send_body(Chain&& bytes) {
  Request& r = *request_;
  SLUICE_ASSERT(r.sending == Request::Sending::kBody);
  if (bytes.empty() || r.dead) return;
  switch (r.framing) {
    case BodyFraming::kNone: return;
    case BodyFraming::kLength:
      // Never more than was promised: the client would take the rest for the next answer.
      if (bytes.size() > r.unsent_length) {
        r.close = true;
        bytes = bytes.take_front(r.unsent_length);
      }
      r.unsent_length -= bytes.size();
      r.out.append(std::move(bytes));
      return;
    case BodyFraming::kChunked:
      write_chunk_size(bytes.size(), r.out);
      r.out.append(std::move(bytes));
      r.out.append_copy("\r\n");
      return;
    case BodyFraming::kUntilClose: r.out.append(std::move(bytes)); return;
  }
}

void H1Server::send_end(Headers&& trailers) {
  Request& r = *request_;
  SLUICE_ASSERT(r.sending == Request::Sending::kBody);
  r.sending = Request::Sending::kEnd;
  if (r.dead) return;
  if (r.framing == BodyFraming::kChunked) write_last_chunk(trailers, r.out);
  // Less than was promised: only the end of the connection can tell.
  if (r.framing == BodyFraming::kLength && r.unsent_length > 0) r.close = true;
}

void H1Server::flush() {
  if (write_out()) return end_tunnel_sending();
  break_off({ErrorCode::kReset, Side::kClient, "connection lost while sending"});
}

// A half-close, as soon as all before it is with the kernel.
void H1Server::end_tunnel_sending() {
  Request& r = *request_;
  if (!r.tunnel || r.sending != Request::Sending::kEnd || !r.out.empty()) return;
  r.sending = Request::Sending::kShut;
  transport_->shutdown_write();
}

// False when the connection failed.
bool H1Server::write_out() {
  Request& r = *request_;
  if (r.dead) return false;
  if (r.out.empty() || r.blocked) return true;
  const uint64_t before = r.out.size();
  const net::Io io = transport_->write(r.out);
  r.written += before - r.out.size();
  if (r.send_deadline != TimePoint::max()) r.stalled += timers_.now() - r.stalled_since;
  r.send_deadline = TimePoint::max();
  if (io.state == net::Io::State::kFailed) {
    r.dead = true;
    r.out.clear();
    return false;
  }
  r.blocked = !r.out.empty();
  if (r.blocked && (!r.tunnel || phase_ != Phase::kStream)) await_room();
  return true;
}

// The client's clock runs while there is more than it takes.
void H1Server::await_room() {
  Request& r = *request_;
  r.stalled_since = timers_.now();
  r.send_deadline = timers_.now() + limits_.send;
  if (limits_.send_rate > 0) {
    const uint64_t taken =
        r.written - std::min(r.written, unacknowledged(transport_->descriptor()));
    const Duration left = left_at(limits_.send_rate, taken, r.stalled);
    r.send_deadline = std::min(r.send_deadline, timers_.now() + left);
  }
  watch();
}

uint64_t H1Server::unsent() const {
  return request_->out.size();
}

// -- receiving --

net::Io H1Server::fill() {
  if (client_ended_) return {net::Io::State::kEnd, 0, 0};
  const size_t ceiling = limits_.request_line + limits_.header_block + 8 * 1024;
  const net::Io io = request_->in.fill(*transport_, ceiling);
  if (io.state == net::Io::State::kEnd) client_ended_ = true;
  return io;
}

BodyRead H1Server::read_body(Chain& into, uint64_t most) {
  Request& r = *request_;
  stop_waiting();
  if (r.receiving == Request::Receiving::kBroken) return BodyRead::kBroken;
  if (r.is_received()) {
    r.in.rest();
    return BodyRead::kEnd;
  }
  if (r.continue_owed) answer_continue();
  if (r.dead) return BodyRead::kBroken;
  const uint64_t before = into.size();
  for (;;) {
    if (!r.in.empty()) {
      const auto wanted = r.in.bytes().substr(0, static_cast<size_t>(std::max<uint64_t>(most, 1)));
      const auto taken = r.decoder.decode(r.in.block(), wanted, into);
      if (!taken) {
        break_off({ErrorCode::kMalformed, Side::kClient, std::string(taken.error().reason)});
        return BodyRead::kBroken;
      }
      r.in.consume(*taken);
      r.received += *taken;
      if (r.decoder.is_complete()) {
        r.receiving = Request::Receiving::kEnd;
        keep_only_trailer_fields(r.decoder.trailers());
        r.in.rest();
        return BodyRead::kEnd;
      }
      if (into.size() > before) return BodyRead::kSome;
      if (!r.in.empty()) continue;
    }
    const net::Io io = fill();
    switch (io.state) {
      case net::Io::State::kOk: break;
      case net::Io::State::kBlocked: return wait_for_body();
      case net::Io::State::kEnd:
        if (r.decoder.on_end()) {  // a tunnel's
          r.receiving = Request::Receiving::kEnd;
          return BodyRead::kEnd;
        }
        break_off({ErrorCode::kClosed, Side::kClient, "closed within the body"});
        return BodyRead::kBroken;
      case net::Io::State::kFailed:
        r.dead = true;
        break_off(error_from_errno(io.error_number, Side::kClient, "read"));
        return BodyRead::kBroken;
    }
  }
}

// RFC 9110 §10.1.1: once somebody wants the body, and unless it is coming already.
void H1Server::answer_continue() {
  Request& r = *request_;
  r.continue_owed = false;
  if (!r.in.empty() || r.sending != Request::Sending::kHead) return;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  r.out.append_copy(kContinue.substr(std::exchange(r.begun, false) ? kProtocol.size() : 0));
  flush();
}

// The client's clock runs only while the exchange waits for it: a paused exchange is our own
// slowness.
BodyRead H1Server::wait_for_body() {
  Request& r = *request_;
  r.receiving = Request::Receiving::kWanted;
  r.in.rest();
  r.waiting_since = timers_.now();
  if (r.tunnel) return BodyRead::kBlocked;
  deadline_ = timers_.now() + limits_.body;
  if (limits_.body_rate > 0) {
    const Duration left = left_at(limits_.body_rate, r.received, r.waited);
    deadline_ = std::min(deadline_, timers_.now() + left);
  }
  watch();
  return BodyRead::kBlocked;
}

void H1Server::stop_waiting() {
  Request& r = *request_;
  if (r.receiving != Request::Receiving::kWanted) return;
  r.receiving = Request::Receiving::kBody;
  r.waited += timers_.now() - r.waiting_since;
  deadline_ = TimePoint::max();
}

// Nobody asks for bytes, but that the client has gone must be noticed. A FIN alone is a half-close.
// What is read meanwhile stays in the intake: at most one block.
void H1Server::look_ahead() {
  Request& r = *request_;
  while (!client_ended_ && !r.dead && r.in.has_room()) {
    const net::Io io = fill();
    if (io.state == net::Io::State::kBlocked) break;
    if (io.state != net::Io::State::kFailed) continue;
    r.dead = true;
    return break_off(error_from_errno(io.error_number, Side::kClient, "read"));
  }
  if (client_ended_ && !r.dead && transport_->is_reset()) {
    r.dead = true;
    return break_off({ErrorCode::kReset, Side::kClient, "closed while its request waited"});
  }
  r.in.rest();
}

void H1Server::break_off(Error error) {
  Request& r = *request_;
  // Twice at most: a client that broke the protocol can still be answered, until it is gone, too.
  if (r.receiving == Request::Receiving::kBroken && (!r.dead || r.dead_told)) return;
  r.dead_told = r.dead;
  stop_waiting();
  r.receiving = Request::Receiving::kBroken;
  r.news = std::move(error);
  later();
}

Headers& H1Server::trailers() {
  return request_->decoder.trailers();
}

// -- leaving --

void H1Server::finish() {
  Request& r = *request_;
  if (r.sending == Request::Sending::kHead) return reset();
  if (r.sending == Request::Sending::kBody) r.close = true;  // cut short: the end must tell
  stop_waiting();
  r.events = nullptr;
  r.news.reset();
  phase_ = Phase::kFinish;
  if (r.tunnel && r.blocked) {
    r.send_deadline = timers_.now() + limits_.send;
    watch();
  }
  settle();
}

void H1Server::reset() {
  Request& r = *request_;
  const bool begun = r.sending == Request::Sending::kBody;
  const bool looks_whole = begun && r.framing == BodyFraming::kUntilClose;
  if (r.dead) return end();
  // What a client does not take would stay with the kernel for as long as it likes.
  if (!looks_whole && !r.late) return linger();
  close_by_reset(transport_->descriptor());
  because(Ending::kAnswer);
  end();
}

}  // namespace sluice::http
