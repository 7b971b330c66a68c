#include "proxy/http/h2_server.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/h2_memory.h"
#include "proxy/http/h2_server_callbacks.h"
#include "proxy/http/h2_server_stream.h"

namespace sluice::http {
namespace {

constexpr int kReadsPerTick = 8;    // of one connection; then the others have their turn
constexpr int kWritesPerTick = 16;  // of kMark each
constexpr int kRoundsPerTick = 4;   // of news, and what was written on them
constexpr size_t kPastKept = 256;
constexpr uint32_t kStreamWindow = 64 * 1024;
constexpr int32_t kConnectionWindow = 1024 * 1024;
constexpr size_t kFrameSize = 16 * 1024;
constexpr size_t kMostSendHead = 512 * 1024;

nghttp2_session* make_session(const ServerLimits& limits, void* user,
                              const nghttp2_session_callbacks* callbacks) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_send_header_block_length(option, kMostSendHead);
  nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);  // H2Guard's work
  nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
  nghttp2_option_set_max_continuations(option, limits.header_block / kFrameSize + 8);
  nghttp2_session* session = nullptr;
  nghttp2_session_server_new3(&session, callbacks, user, option, h2_memory());
  nghttp2_option_del(option);
  SLUICE_ASSERT(session != nullptr);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<uint32_t>(std::min<uint64_t>(limits.header_block, UINT32_MAX))},
      // RFC 9218 instead of the tree: the priority field and PRIORITY_UPDATE.
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  return session;
}

}  // namespace

H2Server::H2Server(std::unique_ptr<net::Transport> transport, event::Timers& timers,
                   const ServerLimits& limits, ServerOwner& owner)
    : transport_(std::move(transport)),
      timers_(timers),
      limits_(limits),
      owner_(owner),
      guard_(timers.now()),
      heard_at_(timers.now()),
      timer_(timers, *this),
      turn_(timers, *this) {
  static const nghttp2_session_callbacks* const callbacks = Callbacks::make();
  session_ = make_session(limits_, this, callbacks);
  transport_->set_events(*this);
}

H2Server::~H2Server() {
  nghttp2_session_del(session_);
}

void H2Server::start(std::string_view already_read) {
  on_stack_ = true;
  idle_deadline_ = timers_.now() + limits_.first_byte;
  watch(idle_deadline_);
  if (!already_read.empty()) {
    in_.put(already_read);
    feed(in_.bytes());
    in_.clear();
    tell_news();
  }
  read_in();
  catch_up();
}

// -- news from below --

void H2Server::on_readable() {
  on_stack_ = true;
  if (phase_ == Phase::kOpen) read_in();
  if (phase_ == Phase::kLinger) swallow();
  catch_up();
}

void H2Server::on_writable() {
  on_stack_ = true;
  blocked_ = false;
  if (phase_ < Phase::kLinger) write_out();
  if (read_due_ && phase_ == Phase::kOpen) read_in();
  catch_up();
}

void H2Server::on_timer(event::Timer& timer) {
  on_stack_ = true;
  if (&timer == &timer_) {
    timer_at_ = TimePoint::max();
    expire();
  } else if (read_due_ && phase_ == Phase::kOpen) {
    read_in();
  }
  catch_up();
  if (&timer != &timer_ || phase_ == Phase::kOver) return;
  const TimePoint next = earliest();
  if (next != TimePoint::max()) watch(next);
}

// -- reading --

void H2Server::read_in() {
  read_due_ = false;
  for (int reads = 0; phase_ == Phase::kOpen && !client_ended_; ++reads) {
    if (out_.size() >= kMark || reads == kReadsPerTick) {
      read_due_ = true;
      break;
    }
    const net::Io io = in_.fill(*transport_, Block::kSize);
    if (io.state == net::Io::State::kBlocked) break;
    if (io.state == net::Io::State::kEnd) return on_client_end();
    if (io.state == net::Io::State::kFailed) {
      lost_ = true;
      return end();
    }
    heard_at_ = timers_.now();
    asked_ = false;
    feed(in_.bytes());
    in_.consume(in_.size());
    tell_news();
    serialize();
  }
  in_.rest();
}

// In one go, but for frames that nghttp2 would ignore and that are errors (fault_of_frame): what is
// before them is handed over first, and they are judged by what it has changed.
void H2Server::feed(std::string_view bytes) {
  size_t fed = 0;
  bool was_reset = false;
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = scan_.next(bytes, at);
    if (begin == std::string_view::npos) break;
    was_reset = was_reset || scan_.type() == H2FrameScan::kReset;
    if (!was_reset && !is_odd_frame()) continue;
    if (!hand(bytes.substr(fed, begin - fed))) return;
    fed = begin;
    const uint32_t code = fault_of_frame();
    if (code != NGHTTP2_NO_ERROR) return fail(code);
  }
  hand(bytes.substr(fed));
}

// A stream that depends on itself, DATA on one that is not there, a type that nobody knows.
bool H2Server::is_odd_frame() const {
  const int32_t id = scan_.stream();
  switch (scan_.type()) {
    case H2FrameScan::kData: return nghttp2_session_find_stream(session_, id) == nullptr;
    case H2FrameScan::kPriority: return scan_.has_dependency() && scan_.dependency() == id;
    default: return scan_.is_unknown();
  }
}

uint32_t H2Server::fault_of_frame() {
  if (!is_odd_frame()) return NGHTTP2_NO_ERROR;
  const int32_t id = scan_.stream();
  if (scan_.type() == H2FrameScan::kPriority || (id == 0 && !scan_.is_unknown())) {
    return NGHTTP2_PROTOCOL_ERROR;
  }
  const uint32_t code = scan_.is_unknown() ? uint32_t{NGHTTP2_NO_ERROR} : was_closed(id);
  // What is passed over in silence costs us all the same.
  return code == NGHTTP2_NO_ERROR && is_harm("h2_control") ? harm_code_ : code;
}

bool H2Server::hand(std::string_view bytes) {
  if (bytes.empty()) return true;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  for (const int32_t id : refused_) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
  }
  refused_.clear();
  if (taken >= 0) return phase_ == Phase::kOpen;
  switch (static_cast<int>(taken)) {
    case NGHTTP2_ERR_CALLBACK_FAILURE: break;
    case NGHTTP2_ERR_FLOODED: harmed("h2_control"); break;
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS: harmed("h2_continuations"); break;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC: harm_code_ = NGHTTP2_PROTOCOL_ERROR; break;
    default: harm_code_ = NGHTTP2_INTERNAL_ERROR; break;
  }
  fail(harm_code_);
  return false;
}

// A client that is only half-closed still gets its answers; what it has begun stays unfinished.
void H2Server::on_client_end() {
  client_ended_ = true;
  in_.clear();
  for (const auto& stream : streams_) {
    if (!stream->in_ended && !stream->finished) {
      break_off(*stream, {ErrorCode::kClosed, Side::kClient, "closed within the body"});
    } else {
      stream->ended_due = true;
      note(*stream);
    }
  }
}

H2Server::Stream* H2Server::find(int32_t id) const {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
}

H2Server::Stream& H2Server::open_stream(int32_t id) {
  ++open_;
  auto made = std::make_unique<Stream>(*this, id);
  made->index = static_cast<uint32_t>(streams_.size());
  streams_.push_back(std::move(made));
  idle_deadline_ = TimePoint::max();
  watch(silence_deadline());
  return *streams_.back();
}

void H2Server::on_stream_closed(Stream& stream, uint32_t code) {
  --open_;
  if (&stream == in_head_) in_head_ = nullptr;
  stream.closed = true;
  stream.blocked = false;
  stream.out.clear();
  stream.send_deadline = TimePoint::max();
  if (stream.wide) --wide_;
  const bool cut = stream.by_us || (code != NGHTTP2_NO_ERROR && !stream.client_reset);
  (cut ? cut_ : ended_).note(stream.id);
  const bool whole = stream.end_framed && !stream.client_reset;
  owner_.on_stream_over(stream.client_reset ? StreamEnd::kClientReset
                        : whole             ? StreamEnd::kAnswered
                                            : StreamEnd::kReset);
  if (stream.finished) return release(stream);
  if (!stream.begun) {
    stream.head_due = false;
    const bool left = stream.client_reset;
    owner_.on_rejected({left ? 499 : 400, left ? "client_reset" : "malformed_header",
                        stream.fields.head().method, stream.fields.head().target, Version::kHttp2});
    stream.finished = true;
    return release(stream);
  }
  if (stream.end_framed && code == NGHTTP2_NO_ERROR) return;
  break_off(stream, stream.client_reset
                        ? Error{ErrorCode::kReset, Side::kClient, "RST_STREAM"}
                        : Error{ErrorCode::kMalformed, Side::kClient, "stream error"});
}

void H2Server::Past::note(int32_t id) {
  if (ids.size() < kPastKept) return ids.push_back(id);
  ids[at] = id;
  at = (at + 1) % kPastKept;
}

bool H2Server::Past::has(int32_t id) const {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// The error code for a frame on a stream that is not there; NO_ERROR: it may come (RFC 9113 §5.1).
uint32_t H2Server::was_closed(int32_t id) const {
  if (cut_.has(id)) return NGHTTP2_NO_ERROR;
  // §5.1.1: else it was never opened.
  return ended_.has(id) ? NGHTTP2_STREAM_CLOSED : NGHTTP2_PROTOCOL_ERROR;
}

bool H2Server::is_harm(std::string_view limit) {
  if (guard_.pay_for_control(timers_.now())) return false;
  harmed(limit);
  return true;
}

int H2Server::broken(uint32_t code) {
  harm_code_ = code;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int H2Server::harmed(std::string_view limit) {
  harm_code_ = NGHTTP2_ENHANCE_YOUR_CALM;
  owner_.on_limit(limit);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

// -- news --

void H2Server::note(Stream& stream) {
  if (!std::exchange(stream.due, true)) due_.push_back(&stream);
}

// Streams come and go while it is told; dead ones are kept as long as due_ may name them.
void H2Server::tell_news() {
  for (size_t i = 0; i < due_.size(); ++i) {
    Stream& stream = *due_[i];
    while (stream.has_news()) tell(stream);
    stream.due = false;
  }
  due_.clear();
}

void H2Server::tell(Stream& stream) {
  if (stream.head_due) {
    stream.head_due = false;
    return begin(stream);
  }
  if (stream.news) {
    const Error error = *std::exchange(stream.news, std::nullopt);
    if (stream.events != nullptr) stream.events->on_broken(error);
    return;
  }
  if (std::exchange(stream.readable_due, false)) {
    stream.stop_waiting();
    return stream.events->on_readable();
  }
  if (std::exchange(stream.writable_due, false)) return stream.events->on_writable();
  if (std::exchange(stream.ended_due, false)) stream.events->on_client_ended();
}

void H2Server::begin(Stream& stream) {
  if (std::exchange(idle_, false)) owner_.on_idle(false);
  const auto finished = stream.fields.finish(stream.in_ended && stream.received == 0);
  stream.to_head = stream.fields.head().is("HEAD");
  if (!finished) return reject(stream, finished.error());
  RequestHead head = std::move(stream.fields.head());
  head.secure = transport_->is_secure();
  // All of it is here already: then its length is known, and HTTP/1.1 needs no chunks.
  const bool whole = stream.in_ended && stream.fields.trailers().empty();
  if (whole && head.body.is_unknown()) head.body = BodySize::exactly(stream.received);
  stream.continue_owed = head.expects_continue;
  ++requests_;
  if (stream.in_ended && stream.received == 0 && head.body.is_none()) {
    stream.receiving = Stream::Receiving::kEnd;
  }
  if (limits_.requests > 0 && requests_ >= limits_.requests) retire();
  stream.begun = true;
  ServerEvents& events = owner_.on_request(stream, std::move(head));
  // It may have been answered and finished in there.
  if (!stream.finished) stream.events = &events;
}

void H2Server::reject(Stream& stream, const HeadFault& fault) {
  std::string text = std::to_string(fault.status);
  text.append(" ").append(reason_of(fault.status)).append("\n");
  ResponseHead answer;
  answer.status = fault.status;
  answer.body = BodySize::exactly(text.size());
  answer.headers.add(HeaderId::kContentType, "text/plain");
  if (fault.status == 405) {
    answer.headers.add(HeaderId::kAllow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  }
  const RequestHead& head = stream.fields.head();
  stream.begun = true;
  owner_.on_rejected({fault.status, fault.reason, head.method, head.target, Version::kHttp2});
  stream.send_head(answer);
  Chain body;
  body.append_copy(text);
  stream.send_body(std::move(body));
  stream.send_end(Headers{});
  stream.finish();
}

void H2Server::break_off(Stream& stream, Error error) {
  // Twice at most: who broke the protocol can still be answered, until it is gone, too.
  const bool gone = stream.closed || lost_;
  if (stream.receiving == Stream::Receiving::kBroken && (!gone || stream.closed_told)) return;
  stream.closed_told = gone;
  stream.stop_waiting();
  stream.receiving = Stream::Receiving::kBroken;
  if (stream.finished) return;
  stream.news = std::move(error);
  note(stream);
  later();
}

// Over for both. It may be on the stack.
void H2Server::release(Stream& stream) {
  const uint32_t index = stream.index;
  SLUICE_ASSERT(index < streams_.size() && streams_[index].get() == &stream);
  dead_.push_back(std::move(streams_[index]));
  if (index + 1 < streams_.size()) {
    streams_[index] = std::move(streams_.back());
    streams_[index]->index = index;
  }
  streams_.pop_back();
  later();
}

// What every frame of ours that came from below ends with.
void H2Server::catch_up() {
  on_stack_ = true;
  for (int rounds = 0; rounds < kRoundsPerTick; ++rounds) {
    tell_news();
    settle();
    write_out();
    if (due_.empty() && !wants_write()) break;
  }
  settle();
  on_stack_ = false;
  if (due_.empty()) dead_.clear();
  if (phase_ == Phase::kOver) {
    if (!due_.empty()) return later();
    if (streams_.empty() && !std::exchange(over_told_, true)) owner_.on_over();
    return;
  }
  const bool reads = read_due_ && phase_ == Phase::kOpen && out_.size() < kMark;
  if (!due_.empty() || reads || wants_write()) later();
}

void H2Server::later() {
  if (!on_stack_ && !turn_.is_armed()) turn_.arm_at_once();
}

// -- writing --

// What wants to go out becomes frames at once, and goes with what others have at the end of this
// round; before that only what fills a write.
void H2Server::push() {
  if (phase_ > Phase::kGone) return;
  serialize();
  for (int writes = 0; writes < kWritesPerTick && out_.size() >= kMark && !blocked_; ++writes) {
    write_out();
    serialize();
  }
  if (!out_.empty() || !due_.empty()) later();
}

void H2Server::serialize() {
  while (out_.size() < kMark && phase_ <= Phase::kGone) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size == 0) return;
    if (size < 0) return end();
    out_.append_copy({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)});
  }
}

void H2Server::write_out() {
  if (out_.empty() || blocked_) return;
  const net::Io io = transport_->write(out_);
  send_deadline_ = TimePoint::max();
  if (io.state == net::Io::State::kFailed) {
    lost_ = true;
    return end();
  }
  blocked_ = !out_.empty();
  if (!blocked_) return;
  send_deadline_ = timers_.now() + limits_.send;
  watch(send_deadline_);
}

// Something of it can be moved now.
bool H2Server::wants_write() const {
  if (phase_ > Phase::kGone || blocked_) return false;
  return !out_.empty() || nghttp2_session_want_write(session_) != 0;
}

uint64_t H2Server::held() const {
  uint64_t sum = in_.held() + out_.pinned();
  for (const auto& stream : streams_) sum += stream->in.pinned() + stream->out.pinned();
  return sum;
}

}  // namespace sluice::http
