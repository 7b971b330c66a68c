#include "proxy/exchange/tunnel.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

namespace sluice::exchange {

using observe::TunnelEnd;

namespace {

constexpr uint64_t kStep = Block::kSize;                   // asked for at a time
constexpr int kMostSteps = 16;                             // per pump: others get their turn
constexpr uint64_t kMostUnsent = uint64_t{64} * 1024;      // queued towards a slow reader
constexpr Duration kAnswerTime = std::chrono::seconds(1);  // for a Close frame, and for a FIN

// Of the bytes from the front that are through when the present frame is; all when it is not.
uint64_t to_boundary(http::WebSocketFrames& frames, const Chain& bytes) {
  uint64_t count = 0;
  for (size_t i = 0; i < bytes.piece_count(); ++i) {
    const std::string_view piece = bytes.piece(i).view();
    const size_t taken = frames.take(piece);
    count += taken;
    if (frames.is_between()) return count;
  }
  return count;
}

void track(http::WebSocketFrames& frames, const Chain& bytes) {
  for (size_t i = 0; i < bytes.piece_count(); ++i) {
    std::string_view piece = bytes.piece(i).view();
    while (!piece.empty()) piece.remove_prefix(frames.take(piece));
  }
}

http::WebSocketMask make_mask() {
  http::WebSocketMask mask{};
  // RFC 6455 §10.3 fears scripts that choose what is on the wire; nobody chose our frame.
  if (::getrandom(mask.data(), mask.size(), GRND_NONBLOCK) < 0) mask.fill(0);
  return mask;
}

}  // namespace

Tunnel::Tunnel(http::ServerStream& client, http::ClientStream& upstream, const Terms& terms,
               TimePoint now)
    : terms_(terms),
      old_at_(terms.max_age > Duration{0} ? now + terms.max_age : TimePoint::max()),
      up_{client, upstream, TunnelEnd::kClient, {}},
      down_{upstream, client, TunnelEnd::kUpstream, {}},
      active_at_(now) {}

Flow Tunnel::pump(TimePoint now) {
  const uint64_t before = up_.bytes + down_.bytes;
  const Flow up = pump(up_);
  const Flow down = pump(down_);
  if (up_.bytes + down_.bytes != before) active_at_ = now;
  settle(now);
  if (state_ == State::kOver) return Flow::kDone;
  if (up == Flow::kYields || down == Flow::kYields) return Flow::kYields;
  return up;
}

Flow Tunnel::pump(Way& way) {
  for (int step = 0; step < kMostSteps && !way.ended; ++step) {
    if (way.relaying <= Relaying::kLastFrame && way.to.unsent() >= kMostUnsent) {
      way.to.flush();
      if (way.to.unsent() >= kMostUnsent) return Flow::kWaitsForSink;
    }
    Chain bytes;
    const http::BodyRead got = way.from.read_body(bytes, kStep);
    take(way, std::move(bytes));
    if (got == http::BodyRead::kEnd) {
      way.ended = true;
      note(way.side);
      shut(way);
    }
    if (got != http::BodyRead::kSome) {
      way.to.flush();
      return Flow::kWaitsForSource;  // on_broken() tells what is broken
    }
  }
  way.to.flush();
  return way.ended ? Flow::kWaitsForSource : Flow::kYields;
}

void Tunnel::take(Way& way, Chain&& bytes) {
  if (bytes.empty()) return;
  way.bytes += bytes.size();
  if (way.relaying == Relaying::kLastFrame) {
    way.to.send_body(bytes.take_front(to_boundary(way.frames, bytes)));
    if (way.frames.is_between()) say_close(way);
  }
  if (terms_.is_websocket) track(way.frames, bytes);
  if (way.frames.has_closed()) note(way.side);
  if (way.relaying == Relaying::kYes) way.to.send_body(std::move(bytes));
}

// ---- ending ----

void Tunnel::note(TunnelEnd why) {
  if (!ending_) ending_ = why;
}

void Tunnel::end_at(TimePoint at, TimePoint last) {
  end_at_ = std::min(end_at_, terms_.is_websocket ? at : last);
  last_ = std::min(last_, last);
}

TimePoint Tunnel::due() const {
  if (state_ != State::kOpen) return deadline_;
  const bool may_idle = terms_.idle > Duration{0};
  return std::min({end_at_, old_at_, may_idle ? active_at_ + terms_.idle : TimePoint::max()});
}

void Tunnel::on_time(TimePoint now) {
  if (now < due()) return;
  switch (state_) {
    case State::kOpen:
      if (now >= end_at_) return close(now, TunnelEnd::kDrain, http::kCloseServiceRestart);
      if (now >= old_at_) return close(now, TunnelEnd::kMaxAge, http::kCloseGoingAway);
      return close(now, TunnelEnd::kIdle, http::kCloseGoingAway);
    case State::kClosing: return shut(now);
    case State::kShut: state_ = State::kOver; return;
    case State::kOver: return;
  }
}

// RFC 6455 §5.5.1: to either side, as its other end would; what comes after that is only looked at
// for the answer. A side that sent a Close frame before has said what there is to say.
void Tunnel::close(TimePoint now, TunnelEnd why, uint16_t status) {
  note(why);
  status_ = status;
  state_ = State::kClosing;
  if (!terms_.is_websocket) return shut(now);
  for (Way* way : {&up_, &down_}) {
    if (way->relaying != Relaying::kYes) continue;
    if (way->frames.is_lost() || way->frames.has_closed()) {
      way->relaying = Relaying::kSaid;
    } else if (way->frames.is_between()) {
      say_close(*way);
    } else {
      way->relaying = Relaying::kLastFrame;
    }
  }
  deadline_ = now + kAnswerTime;
  word_due_ = has_word_due();
  if (word_due_ && last_ != TimePoint::max()) deadline_ = std::max(deadline_, last_);
}

void Tunnel::say_close(Way& way) {
  const bool was_closed = way.frames.has_closed();
  way.relaying = Relaying::kSaid;
  if (was_closed) return;
  Chain frame;
  std::optional<http::WebSocketMask> mask;
  if (&way == &up_) mask = make_mask();
  http::write_close_frame(status_, mask, frame);
  way.to.send_body(std::move(frame));
  way.to.flush();
}

bool Tunnel::has_word_due() const {
  return up_.relaying == Relaying::kLastFrame || down_.relaying == Relaying::kLastFrame;
}

void Tunnel::shut(TimePoint now) {
  shut(up_);
  shut(down_);
  state_ = State::kShut;
  deadline_ = now + kAnswerTime;
}

void Tunnel::shut(Way& way) {
  if (way.relaying == Relaying::kShut) return;
  way.relaying = Relaying::kShut;
  way.to.send_end();
  way.to.flush();
}

void Tunnel::settle(TimePoint now) {
  if (state_ == State::kClosing) {
    if (word_due_ && !has_word_due()) {
      word_due_ = false;
      deadline_ = now + kAnswerTime;
    }
    const auto has_answered = [](const Way& way) { return way.ended || way.frames.has_closed(); };
    if (!has_word_due() && has_answered(up_) && has_answered(down_)) shut(now);
  }
  const bool ended = up_.ended && down_.ended && up_.to.unsent() == 0 && down_.to.unsent() == 0;
  if (ended) state_ = State::kOver;
}

// ---- places ----

bool TunnelPlace::take(std::shared_ptr<TunnelCount> count, uint32_t most) {
  if (count->fetch_add(1, std::memory_order_relaxed) >= most) {
    count->fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  count_ = std::move(count);
  return true;
}

TunnelPlace::~TunnelPlace() {
  if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace sluice::exchange
