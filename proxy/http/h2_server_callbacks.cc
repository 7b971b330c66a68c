// What nghttp2 tells an H2Server. Nothing here calls upwards, except into books: what is found is
// noted at the streams, and tell_news() tells it when nghttp2 is no longer on the stack. A callback
// that fails makes the error one of the connection; harm_code_ says which.
#include "proxy/http/h2_server_callbacks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/http/h2_server_stream.h"

namespace sluice::http {
namespace {

std::string_view text_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

bool opens_stream(const nghttp2_frame& frame) {
  return frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST;
}

}  // namespace

// Each frame, before its payload is read. CONTINUATION never comes here, nor DATA of streams that
// are over.
int H2Server::Callbacks::on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* hd,
                                        void* user) noexcept {
  H2Server& server = of(user);
  const bool ends = (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (hd->type) {
    case NGHTTP2_DATA:
      return hd->length == 0 && !ends && server.is_harm("h2_control") ? kFailed : 0;
    case NGHTTP2_HEADERS: break;
    case NGHTTP2_RST_STREAM: return 0;  // counted where it hits
    case NGHTTP2_WINDOW_UPDATE:
      return server.guard_.pay_for_update(server.timers_.now()) ? 0 : server.harmed("h2_control");
    case NGHTTP2_PRIORITY:
      // RFC 9113 §6.3; of priorities that are not used nghttp2 looks at nothing.
      if (hd->stream_id == 0) return server.broken(NGHTTP2_PROTOCOL_ERROR);
      if (hd->length != 5) return server.broken(NGHTTP2_FRAME_SIZE_ERROR);
      return server.is_harm("h2_control") ? kFailed : 0;
    case NGHTTP2_SETTINGS: server.widest_ = server.widest_window(); [[fallthrough]];
    default: return server.is_harm("h2_control") ? kFailed : 0;
  }
  if (hd->stream_id % 2 == 0) return 0;  // nghttp2 refuses it
  const bool is_new = hd->stream_id > nghttp2_session_get_last_proc_stream_id(session) &&
                      server.find(hd->stream_id) == nullptr;
  if (is_new) return on_new_stream(server, *hd);
  // RFC 9113 §5.1: a stream that the client itself has ended is not spoken on again; nghttp2 would
  // ignore it. One that we reset may still have frames on the way.
  if (nghttp2_session_find_stream(session, hd->stream_id) != nullptr) return 0;
  const uint32_t code = server.was_closed(hd->stream_id);
  if (code != NGHTTP2_NO_ERROR) return server.broken(code);
  return server.guard_.pay_for_reset(server.timers_.now()) ? 0 : server.harmed("h2_resets");
}

int H2Server::Callbacks::on_new_stream(H2Server& server, const nghttp2_frame_hd& hd) {
  // RFC 9113 §5.1.2: to nghttp2 it is an error of the connection once the client knows the limit.
  if (server.open_ >= server.limits_.streams) server.owner_.on_limit("streams");
  if (server.farewell_ != Farewell::kSaid || hd.stream_id <= server.last_said_) return 0;
  if (!server.guard_.pay_for_reset(server.timers_.now())) return server.harmed("h2_resets");
  server.refused_.push_back(hd.stream_id);  // not yet: to nghttp2 it is still idle
  server.cut_.note(hd.stream_id);
  server.owner_.on_stream_over(StreamEnd::kRefused);
  return 0;
}

// RFC 9113 §6.9.2: a change that takes a stream's window over the top is an error of the
// connection; for nghttp2 it is the stream's.
bool H2Server::overflows(uint32_t initial_window) {
  const int64_t change = int64_t{initial_window} - std::exchange(initial_window_, initial_window);
  widest_ += change;
  if (widest_ > INT32_MAX) broken(NGHTTP2_FLOW_CONTROL_ERROR);
  return widest_ > INT32_MAX;
}

int64_t H2Server::widest_window() const {
  int64_t widest = 0;
  for (const auto& stream : streams_) {
    if (stream->closed) continue;
    widest = std::max<int64_t>(widest,
                               nghttp2_session_get_stream_remote_window_size(session_, stream->id));
  }
  return widest;
}

int H2Server::Callbacks::on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame,
                                          void* user) noexcept {
  H2Server& server = of(user);
  server.head_deadline_ = server.timers_.now() + server.limits_.header;
  server.watch(server.head_deadline_);
  if (!opens_stream(*frame)) {
    server.in_head_ = server.find(frame->hd.stream_id);
    if (server.in_head_ != nullptr) server.in_head_->fields.begin_trailers();
    return 0;
  }
  Stream& stream = server.open_stream(frame->hd.stream_id);
  server.in_head_ = &stream;
  nghttp2_session_set_stream_user_data(session, stream.id, &stream);
  // RFC 9218 §4.2: without a word of the client each answer would go whole before the next, and a
  // long one would hold the others up; they take turns instead. Its priority field, if there is
  // one, is obeyed by nghttp2 after this.
  const nghttp2_extpri taking_turns{NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
  nghttp2_session_change_extpri_stream_priority(session, stream.id, &taking_turns, 0);
  return 0;
}

int H2Server::Callbacks::on_header(nghttp2_session*, const nghttp2_frame* frame,
                                   nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t,
                                   void* user) noexcept {
  H2Server& server = of(user);
  Stream* const stream = server.in_head_;
  if (stream == nullptr) return 0;
  const HeadLimits limits{server.limits_.request_line, server.limits_.header_block,
                          server.limits_.header_count};
  const bool bearable = opens_stream(*frame)
                            ? stream->fields.add(text_of(name), text_of(value), limits)
                            : stream->fields.add_trailer(text_of(name), text_of(value), limits);
  return bearable ? 0 : server.harmed("headers");
}

// RFC 9113 §8.2.1: nghttp2 would leave such a field out; so it is a stream error.
int H2Server::Callbacks::on_invalid_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*,
                                           nghttp2_rcbuf*, uint8_t, void*) noexcept {
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int H2Server::Callbacks::on_frame_recv(nghttp2_session*, const nghttp2_frame* frame,
                                       void* user) noexcept {
  H2Server& server = of(user);
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
    return on_control(server, *frame);
  }
  Stream* const stream = server.find(frame->hd.stream_id);
  const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame->hd.type == NGHTTP2_HEADERS) {
    server.head_deadline_ = TimePoint::max();
    server.in_head_ = nullptr;
    if (stream == nullptr) return 0;
    if (opens_stream(*frame)) {
      stream->head_due = true;
    } else if (stream->fields.are_trailers_faulty()) {
      server.break_off(*stream, {ErrorCode::kMalformed, Side::kClient, "trailers"});
    }
  } else if (frame->hd.length == frame->data.padlen && frame->hd.length > 0 && !ends &&
             server.is_harm("h2_control")) {
    return kFailed;  // nothing but padding
  }
  if (stream == nullptr) return 0;
  if (ends) {
    stream->in_ended = true;
    stream->readable_due = stream->receiving == Stream::Receiving::kWanted;
  }
  server.note(*stream);
  return 0;
}

int H2Server::Callbacks::on_control(H2Server& server, const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM: {
      Stream* const stream = server.find(frame.hd.stream_id);
      if (stream != nullptr) stream->client_reset = true;
      // A whole answer that is no longer wanted costs nothing.
      if (stream != nullptr && stream->end_framed) return 0;
      return server.guard_.pay_for_reset(server.timers_.now()) ? 0 : server.harmed("h2_resets");
    }
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0 && server.farewell_ == Farewell::kHinted &&
          std::memcmp(frame.ping.opaque_data, kFarewellPing, sizeof kFarewellPing) == 0) {
        server.farewell_deadline_ = TimePoint::min();  // settle() says the rest
      }
      return 0;
    case NGHTTP2_SETTINGS:
      for (size_t i = 0; i < frame.settings.niv; ++i) {
        const nghttp2_settings_entry& entry = frame.settings.iv[i];
        const bool window = entry.settings_id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
        if (window && server.overflows(entry.value)) return kFailed;
      }
      return 0;
    case NGHTTP2_GOAWAY: server.client_leaves_ = true; return 0;
    default: return 0;
  }
}

int H2Server::Callbacks::on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int error,
                                          void* user) noexcept {
  H2Server& server = of(user);
  if (frame->hd.type == NGHTTP2_HEADERS) {
    server.head_deadline_ = TimePoint::max();
    server.in_head_ = nullptr;
    server.cut_.note(frame->hd.stream_id);
  }
  // RFC 9113 §5.4: who miscounts a window has lost count of the connection, too.
  if (error == NGHTTP2_ERR_FLOW_CONTROL) return server.broken(NGHTTP2_FLOW_CONTROL_ERROR);
  if (error == NGHTTP2_ERR_REFUSED_STREAM) server.owner_.on_stream_over(StreamEnd::kRefused);
  return server.guard_.pay_for_reset(server.timers_.now()) ? 0 : server.harmed("h2_resets");
}

int H2Server::Callbacks::on_data_chunk(nghttp2_session* session, uint8_t, int32_t id,
                                       const uint8_t* data, size_t size, void* user) noexcept {
  H2Server& server = of(user);
  server.guard_.earn(size);
  // The connection's window is given back at once: what a stream may hold is bounded by its own, so
  // one that nobody reads does not stop the others.
  nghttp2_session_consume_connection(session, size);
  Stream* const stream = server.find(id);
  if (stream == nullptr || stream->finished) return 0;
  stream->received += size;
  const auto* const bytes = reinterpret_cast<const char*>(data);
  stream->readable_due = stream->receiving == Stream::Receiving::kWanted;
  if (stream->readable_due) {
    stream->in.append(server.in_.block(), bytes, size);
  } else {
    // Nobody waits for it: it may lie here for long, and is not to hold a block that it shares.
    stream->in.append_copy({bytes, size});
  }
  server.note(*stream);
  return 0;
}

int H2Server::Callbacks::on_frame_send(nghttp2_session* session, const nghttp2_frame* frame,
                                       void* user) noexcept {
  H2Server& server = of(user);
  if (frame->hd.type == NGHTTP2_GOAWAY) {
    server.doomed_ = server.doomed_ || frame->goaway.error_code != NGHTTP2_NO_ERROR;
    // Not submitted together: a PING overtakes what else waits, and its ack would prove nothing.
    if (server.farewell_ == Farewell::kHinted) {
      nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, kFarewellPing);
    }
    return 0;
  }
  const bool message = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
  if (!message || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  Stream* const stream = server.find(frame->hd.stream_id);
  if (stream == nullptr) return 0;
  stream->end_framed = true;
  stream->send_deadline = TimePoint::max();
  if (stream->finished && !stream->in_ended) {  // see finish()
    stream->by_us = true;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

int H2Server::Callbacks::on_stream_close(nghttp2_session*, int32_t id, uint32_t code,
                                         void* user) noexcept {
  H2Server& server = of(user);
  Stream* const stream = server.find(id);
  if (stream != nullptr) server.on_stream_closed(*stream, code);
  return 0;
}

// How much the next DATA frame of a stream carries, as far as windows let it; send_data() follows.
ssize_t H2Server::Callbacks::read_data(nghttp2_session* session, int32_t id, uint8_t*,
                                       size_t length, uint32_t* flags, nghttp2_data_source*,
                                       void* user) noexcept {
  Stream* const stream = of(user).find(id);
  if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;  // given up, and the connection with it
  const bool complete = stream->sending == Stream::Sending::kEnd;
  if (stream->out.empty() && !complete) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const auto size = static_cast<size_t>(std::min<uint64_t>(length, stream->out.size()));
  // A window that is opened by a few bytes at a time makes a frame of each of them.
  stream->dribbles = size < kDribble && size < stream->out.size();
  if (stream->dribbles && !of(user).guard_.pay_for_control(of(user).timers_.now())) {
    of(user).dribbled_ = true;
  }
  if (!stream->load(size)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (!complete || size < stream->out.size()) return static_cast<ssize_t>(size);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (stream->last_fields.empty()) return static_cast<ssize_t>(size);
  std::vector<nghttp2_nv> fields;
  for (const auto& field : stream->last_fields) {
    fields.push_back(h2_field(field.name, field.value));
  }
  if (nghttp2_submit_trailer(session, id, fields.data(), fields.size()) == 0) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  }
  return static_cast<ssize_t>(size);
}

int H2Server::Callbacks::send_data(nghttp2_session*, nghttp2_frame* frame, const uint8_t* head,
                                   size_t size, nghttp2_data_source*, void* user) noexcept {
  H2Server& server = of(user);
  if (server.out_.size() >= kMark) return NGHTTP2_ERR_WOULDBLOCK;
  Stream* const found = server.find(frame->hd.stream_id);
  if (found == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  Stream& stream = *found;
  constexpr size_t kFrameHead = 9;  // and no padding: we ask for none
  server.out_.append_copy({reinterpret_cast<const char*>(head), kFrameHead});
  server.out_.append(stream.out.take_front(size));
  if (!stream.dribbles) server.guard_.earn(size);
  stream.send_deadline = TimePoint::max();
  if (!stream.out.empty()) {
    stream.send_deadline = server.timers_.now() + server.limits_.send;
  } else if (std::exchange(stream.blocked, false)) {
    stream.writable_due = true;
    server.note(stream);
  }
  return 0;
}

const nghttp2_session_callbacks* H2Server::Callbacks::make() {
  nghttp2_session_callbacks* all = nullptr;
  nghttp2_session_callbacks_new(&all);
  nghttp2_session_callbacks_set_on_begin_frame_callback(all, &on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(all, &on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback2(all, &on_header);
  nghttp2_session_callbacks_set_on_invalid_header_callback2(all, &on_invalid_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(all, &on_frame_recv);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(all, &on_invalid_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, &on_data_chunk);
  nghttp2_session_callbacks_set_on_frame_send_callback(all, &on_frame_send);
  nghttp2_session_callbacks_set_on_stream_close_callback(all, &on_stream_close);
  nghttp2_session_callbacks_set_send_data_callback(all, &send_data);
  return all;
}

}  // namespace sluice::http
