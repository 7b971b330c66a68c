#include "proxy/exchange/relay.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/base/assert.h"

namespace sluice::exchange {
namespace {

constexpr uint64_t kStep = Block::kSize;  // asked for at a time
constexpr int kMostSteps = 16;            // per pump: other connections get their turn

// File pieces become memory, for filters that change bytes. Bounded: at most `most` bytes are
// taken.
Result<Chain> take_into_memory(Chain& from, uint64_t most) {
  Chain out;
  while (!from.empty() && out.size() < most) {
    const Chain::Piece& piece = from.front();
    const uint64_t n = std::min({piece.size, most - out.size(), uint64_t{Block::kSize}});
    if (!piece.is_file()) {
      out.append(from.take_front(n));
      continue;
    }
    BlockRef block = BlockRef::make();
    const ssize_t got = ::pread(piece.file->get(), block->data(), static_cast<size_t>(n),
                                static_cast<off_t>(piece.offset));
    if (got <= 0) return fail_errno(got < 0 ? errno : EIO, Side::kUs, "read file");
    const char* data = block->data();
    out.append(std::move(block), data, static_cast<size_t>(got));
    from.drop_front(static_cast<uint64_t>(got));
  }
  return out;
}

}  // namespace

// ---- request ----

Flow RequestRelay::fail(const Outcome& outcome) {
  outcome_ = outcome;
  return Flow::kFailed;
}

http::BodyRead RequestRelay::read(Chain& bytes) {
  const http::BodyRead got = client_.read_body(bytes, kStep);
  taken_ += bytes.size();
  return got;
}

Flow RequestRelay::pump_to_store() {
  if (ended_) return Flow::kDone;
  for (;;) {
    Chain bytes;
    const http::BodyRead got = read(bytes);
    const bool last = got == http::BodyRead::kEnd;
    if (taken_ > most_) return fail({413, "body_too_large"});
    if (filters_.changes_request_body() && (last || !bytes.empty())) {
      if (!filters_.on_request_body(bytes, last)) return fail({500, "filter_failed"});
    }
    auto stored = store_.append(std::move(bytes), last);
    if (!stored) return fail(outcome_of_store(stored.error()));
    if (last) return end_of_store();
    if (got != http::BodyRead::kSome) return Flow::kWaitsForSource;
  }
}

// What the codec gave last is on disk now: asked once more, it lets go of the block that was in.
Flow RequestRelay::end_of_store() {
  ended_ = true;
  if (store_.has_spilled()) {
    Chain nothing;
    static_cast<void>(client_.read_body(nothing, 0));
  }
  return Flow::kDone;
}

Flow RequestRelay::pump_to(http::ClientStream& upstream) {
  if (ended_) return Flow::kDone;
  for (int step = 0; step < kMostSteps; ++step) {
    if (upstream.unsent() >= kStep) {
      upstream.flush();
      if (upstream.unsent() >= kStep) return Flow::kWaitsForSink;
    }
    Chain bytes;
    const http::BodyRead got = read(bytes);
    const bool last = got == http::BodyRead::kEnd;
    if (taken_ > most_) return fail({413, "body_too_large"});
    if (filters_.changes_request_body() && (last || !bytes.empty())) {
      if (!filters_.on_request_body(bytes, last)) return fail({500, "filter_failed"});
    }
    upstream.send_body(std::move(bytes));
    if (last) {
      upstream.send_end(std::move(client_.trailers()));
      ended_ = true;
    }
    if (got != http::BodyRead::kSome) {
      upstream.flush();
      return ended_ ? Flow::kDone : Flow::kWaitsForSource;
    }
  }
  upstream.flush();
  return Flow::kYields;
}

// ---- answer ----

Flow ResponseRelay::fail(const Outcome& outcome) {
  outcome_ = outcome;
  return Flow::kFailed;
}

void ResponseRelay::from_upstream(http::ClientStream& upstream, bool buffered) {
  upstream_ = &upstream;
  buffered_ = buffered;
}

void ResponseRelay::give(Chain&& bytes) {
  given_ += bytes.size();
  client_.send_body(std::move(bytes));
}

Flow ResponseRelay::pump() {
  Flow flow = upstream_ != nullptr ? pump_upstream() : pump_local();
  if (flow == Flow::kFailed || flow == Flow::kYields) return flow;
  if (!store_.empty() && client_has_room()) {
    give(store_.take());
  }
  if (upstream_ == nullptr && local_.empty() && store_.empty() && !end_sent_) {
    end_sent_ = true;
    client_.send_end(trailers_ ? std::move(*trailers_) : http::Headers{});
  }
  client_.flush();
  if (!end_sent_) {
    if (upstream_ == nullptr) return client_has_room() ? Flow::kYields : Flow::kWaitsForSink;
    return flow;
  }
  return client_.unsent() == 0 ? Flow::kDone : Flow::kWaitsForSink;
}

// Where the store takes no more (its share of the disk is used up, the disk is full), the rest
// comes at the client's pace; what is here already queues there, once.
void ResponseRelay::hold_back(Chain&& bytes) {
  if (store_.append(std::move(bytes), false)) return;
  buffered_ = false;
  give(store_.take());
  give(std::move(bytes));
  client_.flush();
}

// What is stored goes first; then straight through while the client takes it; else into the store,
// as long as the answer may be buffered and the store has room.
Flow ResponseRelay::pump_upstream() {
  for (int step = 0; step < kMostSteps; ++step) {
    if (!store_.empty() && client_has_room()) {
      give(store_.take());
      client_.flush();
    }
    const bool direct = store_.empty() && client_has_room();
    if (!direct && !(buffered_ && store_.has_room())) return Flow::kWaitsForSink;
    Chain bytes;
    const http::BodyRead got = upstream_->read_body(bytes, kStep);
    const bool last = got == http::BodyRead::kEnd;
    if (filters_.changes_response_body() && (last || !bytes.empty())) {
      if (!filters_.on_response_body(bytes, last)) return fail({500, "filter_failed"});
    }
    if (direct) {
      give(std::move(bytes));
      if (got == http::BodyRead::kSome) client_.flush();
    } else {
      hold_back(std::move(bytes));
    }
    if (last) {
      trailers_ = std::move(upstream_->trailers());
      upstream_ = nullptr;
      return Flow::kWaitsForSink;
    }
    if (got == http::BodyRead::kBlocked) return Flow::kWaitsForSource;
    if (got == http::BodyRead::kBroken) return Flow::kWaitsForSource;  // on_broken() tells
  }
  client_.flush();
  return Flow::kYields;
}

void ResponseRelay::end_source() {
  upstream_ = nullptr;
  if (!filters_.changes_response_body()) return;
  Chain rest;
  if (filters_.on_response_body(rest, true)) give(std::move(rest));
}

Flow ResponseRelay::pump_local() {
  if (local_.empty() || !client_has_room()) return Flow::kWaitsForSink;
  if (!filters_.needs_memory()) {
    give(std::move(local_));
    local_ = Chain{};
    return Flow::kWaitsForSink;
  }
  for (int step = 0; step < kMostSteps && !local_.empty() && client_has_room(); ++step) {
    auto bytes = take_into_memory(local_, kStep);
    if (!bytes) return fail({500, "file_read_failed"});
    if (!filters_.on_response_body(*bytes, local_.empty())) return fail({500, "filter_failed"});
    give(std::move(*bytes));
    client_.flush();
  }
  return local_.empty() || !client_has_room() ? Flow::kWaitsForSink : Flow::kYields;
}

}  // namespace sluice::exchange
