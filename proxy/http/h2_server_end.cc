// How an H2Server comes to its end: farewells, connection errors, deadlines, and the last bytes.
#include <sys/ioctl.h>

#include <algorithm>
#include <utility>

#include "proxy/http/h2_server_callbacks.h"
#include "proxy/http/h2_server_stream.h"

namespace sluice::http {
namespace {

constexpr Duration kHintTime = std::chrono::seconds(1);  // DESIGN, law 4

}  // namespace

// -- orders --

// What was said cannot be taken back; the client comes again on another connection.
void H2Server::drain(bool draining) {
  if (!draining || farewell_ != Farewell::kNone || phase_ != Phase::kOpen) return;
  farewell_ = Farewell::kHinted;
  nghttp2_submit_shutdown_notice(session_);
  farewell_deadline_ = timers_.now() + kHintTime;
  watch(farewell_deadline_);
  push();
}

void H2Server::retire() {
  if (phase_ != Phase::kOpen) return;
  say_last();
  push();
  later();
}

void H2Server::close(std::string_view) {
  if (phase_ == Phase::kLinger) {
    end();
    return later();
  }
  if (phase_ != Phase::kOpen) return;
  if (streams_.empty() && has_unread()) return;
  because(Ending::kOrder);
  for (const auto& stream : streams_) {
    if (stream->events == nullptr) continue;
    break_off(*stream, {ErrorCode::kCancelled, Side::kUs, "connection closed"});
  }
  retire();
}

// -- farewell --

void H2Server::say_last() {
  if (farewell_ == Farewell::kSaid) return;
  farewell_ = Farewell::kSaid;
  farewell_deadline_ = TimePoint::max();
  last_said_ = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_said_, NGHTTP2_NO_ERROR, nullptr, 0);
}

// A connection error (RFC 9113 §5.4.1): GOAWAY, and nothing is read any more.
void H2Server::fail(uint32_t code) {
  if (phase_ != Phase::kOpen) return;
  nghttp2_session_terminate_session(session_, code);
  be_gone();
}

void H2Server::be_gone() {
  phase_ = Phase::kGone;
  abandon_streams();
}

void H2Server::abandon_streams() {
  in_head_ = nullptr;
  for (const auto& stream : streams_) {
    nghttp2_session_set_stream_user_data(session_, stream->id, nullptr);
    if (!std::exchange(stream->closed, true)) owner_.on_stream_over(StreamEnd::kReset);
    if (!stream->begun) {
      const bool whole = std::exchange(stream->head_due, false);
      const RequestHead& head = stream->fields.head();
      owner_.on_rejected({whole ? 499 : 400, whole ? "client_reset" : "incomplete_header",
                          head.method, head.target, Version::kHttp2});
    }
    stream->out.clear();
    stream->send_deadline = TimePoint::max();
    if (!stream->begun) {
      stream->finished = true;
    } else {
      break_off(*stream, {ErrorCode::kReset, Side::kClient, "connection over"});
    }
  }
  for (size_t i = 0; i < streams_.size();) {
    if (streams_[i]->finished) {
      release(*streams_[i]);
    } else {
      ++i;
    }
  }
}

// Looked at after all news: whether it is time for the next step.
void H2Server::settle() {
  if (phase_ == Phase::kOpen && farewell_ == Farewell::kHinted &&
      farewell_deadline_ <= timers_.now()) {
    say_last();
  }
  serialize();
  if (dribbled_ && phase_ == Phase::kOpen) {
    harmed("h2_control");
    fail(harm_code_);
    serialize();
  }
  // nghttp2 has found a connection error by itself and has said so.
  if (phase_ == Phase::kOpen && doomed_) be_gone();
  if (phase_ > Phase::kGone || !out_.empty()) return;
  if (nghttp2_session_want_write(session_) != 0) return;
  if (phase_ == Phase::kGone) return linger();
  if (!streams_.empty()) return;
  if (client_ended_) return end();
  // After its GOAWAY the client asks nothing more on this connection (RFC 9113 §6.8).
  if (client_leaves_) because(Ending::kClient);
  if (farewell_ == Farewell::kSaid || client_leaves_) return linger();
  become_idle();
}

void H2Server::become_idle() {
  if (idle_deadline_ == TimePoint::max()) {
    idle_deadline_ = timers_.now() + limits_.idle;
    watch(idle_deadline_);
  }
  if (!std::exchange(idle_, true)) owner_.on_idle(true);
}

// Our FIN, then the client's, within bounds (DESIGN, law 7): closing with unread bytes would reset
// the connection and destroy what the client has not read yet.
void H2Server::linger() {
  because(Ending::kAnswer);
  if (client_ended_) return end();
  transport_->shutdown_write();
  phase_ = Phase::kLinger;
  idle_deadline_ = timers_.now() + limits_.linger;
  head_deadline_ = TimePoint::max();
  watch(idle_deadline_);
  swallow();
}

void H2Server::swallow() {
  const BlockRef scratch = BlockRef::make();
  while (lingered_ <= limits_.linger_bytes) {
    const net::Io io = transport_->read(scratch->data(), scratch->capacity());
    if (io.state == net::Io::State::kBlocked) return;
    if (io.state != net::Io::State::kOk) break;
    lingered_ += io.count;
  }
  end();
}

// The first cause counts.
void H2Server::because(Ending why) {
  if (ending_ == Ending::kOpen) ending_ = why;
}

bool H2Server::has_unread() const {
  int unread = 0;
  return ::ioctl(transport_->descriptor(), FIONREAD, &unread) == 0 && unread > 0;
}

void H2Server::end() {
  if (phase_ == Phase::kOver) return;
  because(Ending::kClient);
  phase_ = Phase::kOver;
  out_.clear();
  in_.clear();
  abandon_streams();
  idle_deadline_ = head_deadline_ = send_deadline_ = farewell_deadline_ = TimePoint::max();
  later();
}

// -- time --

void H2Server::watch(TimePoint deadline) {
  if (deadline == TimePoint::max() || (timer_.is_armed() && timer_at_ <= deadline)) return;
  timer_.arm(deadline - timers_.now());
  timer_at_ = deadline;
}

TimePoint H2Server::earliest() const {
  TimePoint first = std::min({idle_deadline_, head_deadline_, send_deadline_, farewell_deadline_});
  first = std::min(first, silence_deadline());
  for (const auto& stream : streams_) {
    first = std::min({first, stream->send_deadline, stream->body_deadline});
  }
  return first;
}

// A client that is gone without a word (its machine lost, a NAT on the way asleep) is found out by
// PING while requests run; where none does, by the idle deadline.
TimePoint H2Server::silence_deadline() const {
  const bool counts = phase_ == Phase::kOpen && !streams_.empty() && limits_.ping > Duration{0};
  return counts ? heard_at_ + limits_.ping * (asked_ ? 2 : 1) : TimePoint::max();
}

void H2Server::expire() {
  const TimePoint now = timers_.now();
  const bool is_silent = silence_deadline() <= now;
  if (send_deadline_ <= now || (is_silent && asked_)) {  // nothing can be said any more
    because(Ending::kTimeout);
    lost_ = true;
    for (const auto& stream : streams_) {
      break_off(*stream, {ErrorCode::kTimeout, Side::kClient, is_silent ? "ping" : "send"});
    }
    return end();
  }
  if (is_silent) {
    asked_ = true;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  }
  if (head_deadline_ <= now && phase_ == Phase::kOpen) {
    head_deadline_ = TimePoint::max();
    because(Ending::kTimeout);
    if (in_head_ != nullptr && !in_head_->begun) {
      in_head_->begun = in_head_->finished = true;
      owner_.on_rejected({408, "header_timeout", {}, {}, Version::kHttp2});
    }
    return fail(NGHTTP2_PROTOCOL_ERROR);
  }
  if (idle_deadline_ <= now) {
    if (phase_ == Phase::kLinger) return end();
    idle_deadline_ = now + limits_.header;
    watch(idle_deadline_);
    if (has_unread()) return;  // its news is on the way
    because(Ending::kTimeout);
    say_last();
  }
  expire_streams(now);
}

void H2Server::expire_streams(TimePoint now) {
  for (const auto& stream : streams_) {
    if (stream->body_deadline <= now) {
      stream->stop_waiting();
      break_off(*stream, {ErrorCode::kTimeout, Side::kClient, "body"});
    } else if (stream->send_deadline <= now) {
      stream->send_deadline = TimePoint::max();
      if (stream->finished) {  // its exchange has left; nobody else ends it
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
      } else {
        break_off(*stream, {ErrorCode::kTimeout, Side::kClient, "send"});
      }
    }
  }
}

}  // namespace sluice::http
