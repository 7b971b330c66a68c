#include "proxy/http/serial_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/head_writer.h"
#include "proxy/http/keep_alive.h"

namespace sluice::http {
namespace {

// <linux/tcp.h> has the counter but cannot be included beside <netinet/tcp.h>, which lacks it. The
// layout is the kernel's promise to programs: tcp_info as it was in 2.6, two rates, then the
// counter.
struct TcpInfo {
  tcp_info old;
  uint64_t pacing_rate;
  uint64_t max_pacing_rate;
  uint64_t bytes_acked;
};
static_assert(offsetof(TcpInfo, bytes_acked) == 120);

// DESIGN, law 5 (b), after a clean EOF: the kernel has dropped the connection (its FIN was there
// before our bytes, which got RST) and the other side acknowledged none of them. The counter
// includes our SYN. What this proves is that the other side's FIN was sent before anything of the
// request had come: an acknowledgement travels with every FIN, also where it is delayed otherwise.
// It does not prove that an application which had only half-closed did not look at the bytes
// before it closed; such a one has nothing left to answer with, and RFC 9112 §9.6 forbids it to
// process them. tests/campaign/ tries to find anything else.
bool is_proven_unreceived(int descriptor, uint64_t sent_before) {
  TcpInfo info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  if (size < sizeof info || info.old.tcpi_state != TCP_CLOSE) return false;
  return info.bytes_acked <= sent_before + 1;
}

}  // namespace

SerialClient::SerialClient(std::unique_ptr<net::Transport> transport, event::Timers& timers,
                           const ClientLimits& limits, ClientOwner& owner,
                           ResponseReader::Dialect dialect, FastcgiAnswer* records)
    : transport_(std::move(transport)),
      timers_(timers),
      limits_(limits),
      owner_(owner),
      reader_(limits, dialect, records),
      timer_(timers, *this) {
  transport_->set_events(*this);
}

SerialClient::~SerialClient() = default;

ClientStream& SerialClient::lease() {
  SLUICE_ASSERT(phase_ == Phase::kIdle && (requests_ == 0 || may_be_reused()));
  ++requests_;
  phase_ = Phase::kStream;
  sending_ = Sending::kHead;
  receiving_ = Receiving::kHead;
  sent_before_ = sent_;
  write_error_ = 0;
  incomplete_ = sent_;
  rest_held_ = false;
  return *this;
}

void SerialClient::begin_with(std::string_view preface) {
  SLUICE_ASSERT(requests_ == 0);
  out_.append_copy(preface);
}

void SerialClient::hold_rest() {
  SLUICE_ASSERT(phase_ == Phase::kStream && sent_ == sent_before_);
  rest_held_ = true;
}

void SerialClient::release_rest() {
  if (!rest_held_ || phase_ != Phase::kStream) return;
  rest_held_ = false;
  blocked_ = true;  // until now by our own will
  on_writable();
}

// -- sending --

void SerialClient::send_head(const RequestHead& head) {
  SLUICE_ASSERT(sending_ == Sending::kHead);
  SLUICE_ASSERT(may_chunk() || !head.body.is_unknown());
  sending_ = Sending::kBody;
  unsent_length_ = head.body.length;
  framing_ = BodyFraming::kNone;
  if (head.body.is_unknown()) framing_ = BodyFraming::kChunked;
  if (head.body.kind == BodySize::Kind::kExact) framing_ = BodyFraming::kLength;
  reader_.begin(head);
  const size_t preface = out_.size();
  if (auto written = write_head(head, out_); !written) {
    sending_ = Sending::kFailed;
    break_off(written.error());
  }
  incomplete_ = sent_before_ + preface;
  if (sending_ != Sending::kFailed && rest_held_) incomplete_ += prelude(out_.size() - preface);
}

void SerialClient::send_body(Chain&& bytes) {
  SLUICE_ASSERT(sending_ == Sending::kBody || sending_ == Sending::kFailed);
  if (bytes.empty() || sending_ == Sending::kFailed) return;
  if (framing_ == BodyFraming::kChunked) {
    write_chunk_size(bytes.size(), out_);
    out_.append(std::move(bytes));
    out_.append_copy("\r\n");
    return;
  }
  if (is_tunnel()) return out_.append(std::move(bytes));
  // Never more than was promised: it would be taken for the next request.
  if (bytes.size() > unsent_length_) bytes = bytes.take_front(unsent_length_);
  unsent_length_ -= bytes.size();
  write_body(std::move(bytes), out_);
}

void SerialClient::send_end(Headers&& trailers) {
  SLUICE_ASSERT(sending_ == Sending::kBody || sending_ == Sending::kFailed);
  if (sending_ == Sending::kFailed) return;
  if (framing_ == BodyFraming::kChunked) write_last_chunk(trailers, out_);
  // With less than was promised the request stays open, and the connection is not used again.
  if (framing_ == BodyFraming::kLength && unsent_length_ > 0) return;
  write_end(out_);
  sending_ = Sending::kEnd;
}

// False: the rest has to wait, or the connection failed.
bool SerialClient::write_prelude() {
  if (sent_ > sent_before_) return false;
  Chain first = out_.take_front(incomplete_ - sent_before_);
  const net::Io io = transport_->write(first);
  sent_ += io.count;
  if (!first.empty()) {
    // A fresh socket that does not take a few bytes has failed; nothing can be executed of them.
    sending_ = Sending::kFailed;
    out_.clear();
    break_off({ErrorCode::kReset, Side::kUpstream, "connection lost while sending"});
    return false;
  }
  rest_held_ = owner_.on_begun(transport_->descriptor());
  if (rest_held_) {
    send_deadline_ = timers_.now() + limits_.send;
    watch();
  }
  return !rest_held_;
}

void SerialClient::flush() {
  if (!blocked_ && !out_.empty() && sending_ != Sending::kFailed) write_out();
  // A half-close, as soon as all before it is with the kernel.
  if (!is_tunnel() || sending_ != Sending::kEnd || !out_.empty()) return;
  sending_ = Sending::kShut;
  transport_->shutdown_write();
}

void SerialClient::write_out() {
  if (rest_held_ && !write_prelude()) return;
  const net::Io io = transport_->write(out_);
  sent_ += io.count;
  send_deadline_ = TimePoint::max();
  if (io.state == net::Io::State::kFailed) {
    // An answer may have come before the connection broke ("413" to a large body): it is looked for
    // before anybody hears of this.
    sending_ = Sending::kFailed;
    write_error_ = io.error_number;
    out_.clear();
    if (receiving_ == Receiving::kHead) {
      heads_due_ = true;
      later();
    }
    if (is_tunnel() && receiving_ == Receiving::kEnd) lose_tunnel();
    return;
  }
  blocked_ = !out_.empty();
  if (!blocked_ || is_tunnel()) return;
  send_deadline_ = timers_.now() + limits_.send;
  watch();
}

// -- receiving --

BodyRead SerialClient::read_body(Chain& into, uint64_t most) {
  switch (receiving_) {
    case Receiving::kHead: return BodyRead::kBlocked;
    case Receiving::kBroken: return BodyRead::kBroken;
    case Receiving::kEnd: return BodyRead::kEnd;
    case Receiving::kBody:
    case Receiving::kWanted: break;
  }
  const BodyRead read = reader_.read_body(*transport_, into, most);
  if (read == BodyRead::kBroken) {
    break_off(reader_.error());
  } else if (read == BodyRead::kEnd && is_tunnel() && sending_ == Sending::kFailed) {
    lose_tunnel();
    return BodyRead::kBroken;
  } else {
    receiving_ = read == BodyRead::kEnd       ? Receiving::kEnd
                 : read == BodyRead::kBlocked ? Receiving::kWanted
                                              : Receiving::kBody;
  }
  return read;
}

void SerialClient::on_readable() {
  on_stack_ = true;
  if (phase_ == Phase::kIdle || (phase_ == Phase::kStream && sending_ == Sending::kHead)) {
    look_at_idle();
  } else if (phase_ == Phase::kStream && receiving_ == Receiving::kHead) {
    heads_due_ = true;
  } else if (phase_ == Phase::kStream && receiving_ == Receiving::kWanted) {
    receiving_ = Receiving::kBody;
    events_->on_readable();
  }
  catch_up();
}

void SerialClient::read_heads() {
  heads_due_ = false;
  const uint64_t request = requests_;
  while (phase_ == Phase::kStream && requests_ == request && receiving_ == Receiving::kHead) {
    ResponseHead head;
    switch (reader_.next_head(*transport_, head)) {
      case ResponseReader::Step::kBlocked:
        // The write failed, and no answer explains it.
        if (sending_ != Sending::kFailed) return;
        return break_unanswered(
            {ErrorCode::kReset, Side::kUpstream, "connection lost while sending"});
      case ResponseReader::Step::kInterim: events_->on_interim(std::move(head)); break;
      case ResponseReader::Step::kHead:
        receiving_ = Receiving::kBody;
        if (head.status == 101) begin_tunnel();
        events_->on_head(std::move(head));
        return;
      case ResponseReader::Step::kBroken: return break_unanswered(reader_.error());
    }
  }
}

// Sending begins anew; the reader has seen to the other way. A body that the other side did not
// wait for stays cut: whoever relays finds that out.
void SerialClient::begin_tunnel() {
  if (sending_ == Sending::kEnd) sending_ = Sending::kBody;
  framing_ = BodyFraming::kUntilClose;
  send_deadline_ = TimePoint::max();
  keep_alive(transport_->descriptor());
}

// It takes nothing more. What it had still said was read before: a RST may hide behind a FIN.
void SerialClient::lose_tunnel() {
  break_off({ErrorCode::kReset, Side::kUpstream, "connection lost while sending"});
}

void SerialClient::break_unanswered(Error error) {
  if (!reader_.has_begun()) explain_silence(error);
  break_off(std::move(error));
}

// Before a request nothing may come but the end.
void SerialClient::look_at_idle() {
  char byte = 0;
  if (transport_->read(&byte, 1).state == net::Io::State::kBlocked) return;
  if (phase_ == Phase::kIdle) {
    phase_ = Phase::kOver;
  } else {
    break_off({ErrorCode::kClosed, Side::kUpstream, "closed before the request was sent"});
  }
}

void SerialClient::on_writable() {
  if (!blocked_ || phase_ != Phase::kStream) return;
  on_stack_ = true;
  blocked_ = false;
  flush();
  if (!blocked_) events_->on_writable();
  catch_up();
}

void SerialClient::break_off(Error error) {
  if (receiving_ == Receiving::kBroken) return;
  receiving_ = Receiving::kBroken;
  news_ = std::move(error);
  later();
}

// -- leaving --

void SerialClient::finish() {
  const bool sent = sending_ == Sending::kEnd && out_.empty();
  const bool broken = receiving_ == Receiving::kBroken;
  leave(sent && !broken && may_be_reused() && reader_.is_reusable(*transport_));
}

// The owner closes the connection: within a request that tells.
void SerialClient::reset() {
  const bool runs = sending_ == Sending::kBody || sending_ == Sending::kEnd;
  if (runs && out_.empty() && receiving_ < Receiving::kEnd) {
    write_abort(out_);
    if (!out_.empty()) transport_->write(out_);
  }
  leave(false);
}

void SerialClient::leave(bool reusable) {
  SLUICE_ASSERT(phase_ == Phase::kStream);
  phase_ = reusable ? Phase::kIdle : Phase::kOver;
  over_told_ = !reusable;  // on_stream_over() says it
  events_ = nullptr;
  news_.reset();
  heads_due_ = false;
  send_deadline_ = TimePoint::max();
  out_.clear();
  reader_.rest();
  if (!reusable) timer_.cancel();
  owner_.on_stream_over(reusable);
}

ClientStream::Delivery SerialClient::delivery() const {
  // What is not complete cannot be executed.
  if (sent_ <= incomplete_) return Delivery::kNotSent;
  if (reader_.is_refusal()) return Delivery::kNotReceived;  // in so many words
  // Over TLS our bytes are not the wire's, and cannot be compared with what was acknowledged.
  if (!reader_.ended_unanswered() || transport_->is_secure()) return Delivery::kUnknown;
  // The write that fails takes the socket's error with it, and reading finds an EOF where a RST has
  // been. Only EPIPE says that a FIN had come before that RST (Linux, tcp_reset()).
  if (write_error_ != 0 && write_error_ != EPIPE) return Delivery::kUnknown;
  return is_proven_unreceived(transport_->descriptor(), sent_before_) ? Delivery::kNotReceived
                                                                      : Delivery::kUnknown;
}

// -- news upwards, and time --

void SerialClient::later() {
  if (on_stack_) return;
  timer_.arm(Duration{0});
  timer_at_ = timers_.now();
}

void SerialClient::catch_up() {
  on_stack_ = true;
  while (phase_ == Phase::kStream && (news_ || heads_due_)) {
    if (heads_due_) {
      read_heads();
    } else {
      const Error error = *std::exchange(news_, std::nullopt);
      events_->on_broken(error);
    }
  }
  on_stack_ = false;
  if (phase_ != Phase::kOver || over_told_) return;
  over_told_ = true;
  owner_.on_over();
}

void SerialClient::watch() {
  if (send_deadline_ == TimePoint::max()) return;
  if (timer_.is_armed() && timer_at_ <= send_deadline_) return;
  timer_.arm(send_deadline_ - timers_.now());
  timer_at_ = send_deadline_;
}

void SerialClient::on_timer(event::Timer&) {
  timer_at_ = TimePoint::max();
  on_stack_ = true;
  if (phase_ == Phase::kStream && send_deadline_ <= timers_.now()) {
    send_deadline_ = TimePoint::max();
    break_off({ErrorCode::kTimeout, Side::kUpstream, "send"});
  }
  catch_up();
  watch();
}

}  // namespace sluice::http
