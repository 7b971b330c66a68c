// The streams of an H2Server: what exchanges say between on_request() and finish().
#include "proxy/http/h2_server_stream.h"

#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/h2_server_callbacks.h"
#include "proxy/http/head_writer.h"

namespace sluice::http {
namespace {

constexpr Duration kRateGrace = std::chrono::seconds(10);
// A stream that brings much gets a larger window, so that distance does not make it slow; not many
// at once: limits.streams * 64 KiB + kMostWide * kWideWindow is what a connection may hold in
// memory.
constexpr uint64_t kWideAfter = 64 * 1024;
constexpr int32_t kWideWindow = 512 * 1024;
constexpr uint32_t kMostWide = 8;

bool is_bodyless(int status) {
  return status == 204 || status == 304;
}

const std::vector<nghttp2_nv>& response_fields(const ResponseHead& head, std::string_view date,
                                               H2Numbers& scratch) {
  thread_local std::vector<nghttp2_nv> fields;  // only its room lives on
  list_response_fields(head, date, scratch, fields);
  return fields;
}

}  // namespace

// -- sending --

void H2Server::Stream::send_interim(const ResponseHead& answer) {
  if (closed || sending != Sending::kHead) return;
  H2Numbers scratch;
  const auto& list = response_fields(answer, {}, scratch);
  nghttp2_submit_headers(server.session_, NGHTTP2_FLAG_NONE, id, nullptr, list.data(), list.size(),
                         nullptr);
}

void H2Server::Stream::send_head(const ResponseHead& answer) {
  SLUICE_ASSERT(sending == Sending::kHead);
  sending = Sending::kBody;
  continue_owed = false;
  bodyless = to_head || is_bodyless(answer.status) || answer.body.is_none();
  counts_length = answer.body.kind == BodySize::Kind::kExact;
  unsent_length = counts_length ? answer.body.length : 0;
  if (closed) return;
  H2Numbers scratch;
  const auto& list = response_fields(answer, http_date(server.timers_.now()), scratch);
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::read_data;
  const int rv = nghttp2_submit_response(server.session_, id, list.data(), list.size(),
                                         bodyless ? nullptr : &provider);
  if (rv != 0) server.break_off(*this, {ErrorCode::kReset, Side::kClient, nghttp2_strerror(rv)});
}

void H2Server::Stream::close_after() {
  server.retire();
}

// RFC 9113 §6.7: a PING finds out; the kernel of a client that has closed answers it with RST.
bool H2Server::Stream::probe() {
  if (!server.client_ended_ || closed) return false;
  nghttp2_submit_ping(server.session_, NGHTTP2_FLAG_NONE, nullptr);
  server.push();
  return true;
}

void H2Server::Stream::send_body(Chain&& bytes) {
  SLUICE_ASSERT(sending == Sending::kBody);
  if (bytes.empty() || closed || bodyless) return;
  if (counts_length) {
    // Never more than was promised: it would be a malformed message (RFC 9113 §8.1.1).
    if (bytes.size() > unsent_length) bytes = bytes.take_front(unsent_length);
    unsent_length -= bytes.size();
  }
  out.append(std::move(bytes));
}

void H2Server::Stream::send_end(Headers&& its_trailers) {
  SLUICE_ASSERT(sending == Sending::kBody);
  sending = Sending::kEnd;
  if (closed || bodyless) return;
  last_fields = std::move(its_trailers);
  // Less than was promised: only RST_STREAM can tell.
  if (!counts_length || unsent_length == 0) return;
  out.clear();
  by_us = true;
  nghttp2_submit_rst_stream(server.session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
}

void H2Server::Stream::flush() {
  if (closed) return;
  if (deferred && (!out.empty() || sending == Sending::kEnd)) {
    deferred = false;
    nghttp2_session_resume_data(server.session_, id);
  }
  server.push();
  if (closed || out.empty()) return;
  blocked = true;
  if (send_deadline != TimePoint::max()) return;
  send_deadline = server.timers_.now() + server.limits_.send;
  server.watch(send_deadline);
}

bool H2Server::Stream::load(size_t size) {
  if (size == 0 || !out.starts_with_file()) {
    // Files behind what is in memory: the frame reaches into one.
    uint64_t plain = 0;
    for (size_t i = 0; i < out.piece_count() && plain < size; ++i) {
      if (out.piece(i).is_file()) break;
      plain += out.piece(i).size;
    }
    if (plain >= size) return true;
  }
  Chain memory;
  while (memory.size() < size) {
    const Chain::Piece& piece = out.front();
    if (!piece.is_file()) {
      memory.append(out.take_front(piece.size));
      continue;
    }
    BlockRef block = BlockRef::make();
    const auto want = static_cast<size_t>(std::min<uint64_t>(piece.size, block->capacity()));
    const ssize_t got =
        ::pread(piece.file->get(), block->data(), want, static_cast<off_t>(piece.offset));
    if (got <= 0) return false;
    const char* const data = block->data();
    memory.append(std::move(block), data, static_cast<size_t>(got));
    out.drop_front(static_cast<uint64_t>(got));
  }
  memory.append(std::move(out));
  out = std::move(memory);
  return true;
}

// -- receiving --

BodyRead H2Server::Stream::read_body(Chain& into, uint64_t most) {
  stop_waiting();
  if (receiving == Receiving::kBroken) return BodyRead::kBroken;
  if (is_received()) return BodyRead::kEnd;
  if (std::exchange(continue_owed, false) && in.empty() && !in_ended) {
    ResponseHead go_on;
    go_on.status = 100;  // RFC 9110 §10.1.1
    send_interim(go_on);
    server.push();
  }
  if (!in.empty()) {
    const uint64_t size = std::min(in.size(), std::max<uint64_t>(most, 1));
    into.append(size == in.size() ? std::exchange(in, Chain{}) : in.take_front(size));
    if (!closed && !in_ended) {
      nghttp2_session_consume_stream(server.session_, id, static_cast<size_t>(size));
      if (!wide && received > kWideAfter && server.wide_ < kMostWide) {
        wide = true;
        ++server.wide_;
        nghttp2_session_set_local_window_size(server.session_, NGHTTP2_FLAG_NONE, id, kWideWindow);
      }
    }
    if (!in.empty() || !in_ended) return BodyRead::kSome;
  }
  if (in_ended) {
    receiving = Receiving::kEnd;
    keep_only_trailer_fields(fields.trailers());
    return BodyRead::kEnd;
  }
  server.push();  // WINDOW_UPDATE
  if (receiving == Receiving::kBroken) return BodyRead::kBroken;
  receiving = Receiving::kWanted;
  const TimePoint now = server.timers_.now();
  waiting_since = now;
  body_deadline = now + server.limits_.body;
  if (server.limits_.body_rate > 0) {
    const std::chrono::duration<double> needed(static_cast<double>(received) /
                                               static_cast<double>(server.limits_.body_rate));
    const auto allowed = std::max(kRateGrace, std::chrono::duration_cast<Duration>(needed));
    body_deadline = std::min(body_deadline, now + std::max(allowed - waited, Duration{0}));
  }
  server.watch(body_deadline);
  return BodyRead::kBlocked;
}

void H2Server::Stream::stop_waiting() {
  if (receiving != Receiving::kWanted) return;
  receiving = Receiving::kBody;
  waited += server.timers_.now() - waiting_since;
  body_deadline = TimePoint::max();
}

// -- leaving --

void H2Server::Stream::finish() {
  if (sending != Sending::kEnd) return reset();
  stop_waiting();
  events = nullptr;
  news.reset();
  finished = true;
  in.clear();
  if (closed) return server.release(*this);
  // RFC 9113 §8.1: the answer is complete, so no more of the request is asked for.
  if (end_framed && !in_ended) {
    by_us = true;
    nghttp2_submit_rst_stream(server.session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
  }
  if (!end_framed) {  // END_STREAM waits for a window, too
    send_deadline = server.timers_.now() + server.limits_.send;
    server.watch(send_deadline);
  }
  server.push();
}

void H2Server::Stream::reset() {
  stop_waiting();
  events = nullptr;
  news.reset();
  finished = true;
  in.clear();
  out.clear();
  if (closed) return server.release(*this);
  by_us = true;
  nghttp2_submit_rst_stream(server.session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
  server.push();
}

}  // namespace sluice::http
