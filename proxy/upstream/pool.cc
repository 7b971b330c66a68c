#include "proxy/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/fastcgi_client.h"
#include "proxy/http/h1_client.h"
#include "proxy/http/uwsgi_client.h"
#include "proxy/upstream/ticket.h"

namespace sluice::upstream {

using observe::UpstreamConnectionState;

namespace {

bool is_usable(EndpointState state) {
  return state == EndpointState::kReady || state == EndpointState::kStarting ||
         state == EndpointState::kSuspect;
}

}  // namespace

Pool::Pool(event::Loop& loop, observe::WorkerMetrics& metrics, std::shared_ptr<Endpoint> endpoint,
           const config::Upstream& config, PoolOwner& owner)
    : loop_(loop),
      metrics_(metrics),
      endpoint_(std::move(endpoint)),
      owner_(owner),
      protocol_(config.protocol),
      seen_state_(endpoint_->state()),
      seen_since_(endpoint_->changed_at()),
      read_watch_(loop.timers(), endpoint_->address()),
      sweep_(loop.timers(), *this),
      gate_pause_(loop.timers(), *this),
      lesson_due_(loop.timers(), *this) {
  reconfigure(config);
}

Pool::~Pool() {
  // The last generation that could lease has gone, and its exchanges with it
  // (exchange/generation.h).
  SLUICE_ASSERT(in_flight_ == 0);
  count(UpstreamConnectionState::kIdle, -static_cast<int64_t>(idle_.size()));
}

void Pool::reconfigure(const config::Upstream& config) {
  is_retired_ = false;
  limits_ = config.pool;
  fastcgi_ = config.fastcgi;
  hold_ = config.hold;
  max_in_flight_ = config.max_in_flight;
  codec_limits_.send = config.timeouts.send;
  if (window_ > 0 && hold_.ramp == 0) window_ = 0;
  if (idle_.size() > limits_.spare) discard_idle(idle_.size() - limits_.spare);
  close_stale();
}

void Pool::retire() {
  is_retired_ = true;
  discard_idle(idle_.size());
}

// ---- coming in ----

bool Pool::try_enter(const Wish& wish) {
  if (window_ > 0 && in_flight_ - std::min(in_flight_, elders_) >= window_) return false;
  const bool dials = !has_idle_for(wish);
  if (dials && !may_dial()) return false;
  if (max_in_flight_ > 0) {
    if (!endpoint_->try_enter(max_in_flight_)) return false;
    ++permits_;
  }
  ++in_flight_;
  if (dials) gate_.on_dial();
  return true;
}

void Pool::leave() {
  SLUICE_ASSERT(in_flight_ > 0);
  --in_flight_;
  if (permits_ > 0) {
    --permits_;
    endpoint_->leave();
  }
  gate_.on_moved();
  owner_.on_place_free(*this);
}

// K6: what is sent on a connection that the application has closed fails at once on a unix socket;
// over TCP it is gone, and only for a moment after the last answer is a FIN on its way unlikely.
bool Pool::has_idle_for(const Wish& wish) const {
  if (wish.fresh || !wish.preface.empty() || idle_.empty() || !is_usable(endpoint_->state()))
    return false;
  const Duration age = loop_.now() - idle_.back()->idle_since_;
  if (wish.unsafe && age >= limits_.unsafe_idle && !endpoint_->address().is_unix()) return false;
  return age < idle_limit();
}

// Where nothing is held there is no use in waiting: the dial's own answer is told.
bool Pool::may_dial() {
  if (hold_.timeout == Duration{0} || hold_.requests == 0) return true;
  if (endpoint_->backlog_is_full()) on_backlog_full();
  return gate_.may_dial();
}

PooledConnection* Pool::take_idle(const Wish& wish) {
  if (!has_idle_for(wish)) return nullptr;
  PooledConnection* connection = idle_.back();
  idle_.pop_back();
  connection->state_ = PooledConnection::State::kLeased;
  count(UpstreamConnectionState::kIdle, -1);
  count(UpstreamConnectionState::kActive, 1);
  if (!gate_.is_open()) {
    gate_.on_no_dial();
    owner_.on_place_free(*this);
  }
  return connection;
}

std::unique_ptr<http::ClientConnection> Pool::make_codec(std::unique_ptr<net::Transport> transport,
                                                         http::ClientOwner& owner) {
  if (protocol_ == config::Protocol::kUwsgi) {
    return std::make_unique<http::UwsgiClient>(std::move(transport), loop_.timers(), codec_limits_,
                                               owner);
  }
  if (protocol_ == config::Protocol::kFastcgi) {
    return std::make_unique<http::FastcgiClient>(std::move(transport), loop_.timers(),
                                                 codec_limits_, fastcgi_, owner);
  }
  return std::make_unique<http::H1Client>(std::move(transport), loop_.timers(), codec_limits_,
                                          owner);
}

PooledConnection& Pool::adopt(std::unique_ptr<net::Transport> transport) {
  metrics_.connected(endpoint_->id(), true);
  count(UpstreamConnectionState::kActive, 1);
  auto connection = std::make_unique<PooledConnection>(*this);
  connection->codec_ = make_codec(std::move(transport), *connection);
  connection->index_ = all_.size();
  all_.push_back(std::move(connection));
  endpoint_->note(EndpointNews::kConnected);
  if (!gate_.is_open()) {
    gate_.on_connected();
    owner_.on_place_free(*this);  // there may be room for the next, too
  }
  return *all_.back();
}

void Pool::on_refused(EndpointNews news) {
  metrics_.connected(endpoint_->id(), false);
  endpoint_->note(news);
}

void Pool::on_backlog_full() {
  const Duration pause = gate_.on_full();
  if (pause > Duration{0}) gate_pause_.arm(pause);
}

// ---- what others noted of the endpoint ----

void Pool::look() {
  const EndpointState state = endpoint_->state();
  const TimePoint since = endpoint_->changed_at();
  if (state != seen_state_ || since != seen_since_) {
    // kStarting is come to from away only: between two looks it may have gone and come back.
    const bool is_back = is_usable(state) && (seen_state_ == EndpointState::kHolding ||
                                              state == EndpointState::kStarting);
    seen_state_ = state;
    seen_since_ = since;
    gate_.on_moved();
    if (!is_usable(state) || is_back) discard_idle(idle_.size());
    if (state == EndpointState::kSuspect) on_trial();
    if (is_back && hold_.ramp > 0) {
      window_ = hold_.ramp;
      ++age_;
      elders_ = static_cast<uint32_t>(all_.size() - idle_.size());
    }
  }
  if (!idle_.empty() && idle_limit() < swept_for_) close_stale();
}

void Pool::relax() {
  gate_.on_nobody_waits();
  if (endpoint_->state() == EndpointState::kReady) window_ = 0;
}

// ---- going out ----

void Pool::discard(PooledConnection& connection) {
  const bool idle = connection.state_ == PooledConnection::State::kIdle;
  count(idle ? UpstreamConnectionState::kIdle : UpstreamConnectionState::kActive, -1);
  connection.state_ = PooledConnection::State::kOver;
  const size_t index = connection.index_;
  std::swap(all_[index], all_.back());
  all_[index]->index_ = index;
  loop_.defer_delete(std::move(all_.back()));
  all_.pop_back();
}

void Pool::on_lease_over(PooledConnection& connection, bool reusable) {
  const Duration limit = idle_limit();
  const bool spent = limits_.requests > 0 && connection.codec_->requests() >= limits_.requests;
  if (reusable) endpoint_->note(EndpointNews::kAnswered);
  const bool is_elder = connection.age_ != age_;
  if (is_elder && elders_ > 0) --elders_;
  // One more at once for each answer: twice as many with each round.
  const bool answered = reusable || endpoint_->state() == EndpointState::kReady;
  if (window_ > 0 && !is_elder && answered) ++window_;
  if (!reusable || spent || connection.is_private_ || is_retired_ || limit == Duration{0} ||
      idle_.size() >= limits_.spare || !is_usable(endpoint_->state())) {
    discard(connection);
  } else {
    count(UpstreamConnectionState::kActive, -1);
    count(UpstreamConnectionState::kIdle, 1);
    connection.state_ = PooledConnection::State::kIdle;
    connection.idle_since_ = loop_.now();
    idle_.push_back(&connection);
    if (!sweep_.is_armed() || limit < swept_for_) arm_sweep(limit);
  }
  leave();
}

void Pool::on_idle_over(PooledConnection& connection) {
  const Duration age = loop_.now() - connection.idle_since_;
  std::erase(idle_, &connection);
  discard(connection);
  if (!is_usable(endpoint_->state())) return;
  switch (lesson_.on_fin(loop_.now(), age)) {
    case KeepAliveLesson::News::kBegun:
      lesson_since_ = endpoint_->changed_at();
      lesson_due_.arm(KeepAliveLesson::kDelay);
      break;
    case KeepAliveLesson::News::kBurst: endpoint_->note(EndpointNews::kBroken); break;
    case KeepAliveLesson::News::kMore: break;
  }
}

// ---- time ----

Duration Pool::idle_limit() const {
  const Duration seen = limits_.learn ? endpoint_->seen_keep_alive() : Duration{0};
  return seen == Duration{0} ? limits_.idle : std::min(limits_.idle, seen * 4 / 5);
}

void Pool::on_timer(event::Timer& timer) {
  if (&timer == &sweep_) return close_stale();
  if (&timer == &lesson_due_) return draw_lesson();
  gate_.on_moved();
  owner_.on_place_free(*this);
}

void Pool::arm_sweep(Duration limit) {
  swept_for_ = limit;
  sweep_.arm(idle_.front()->idle_since_ + limit - loop_.now());
}

// One timer for all: connections that come and go faster than the limit never touch it.
void Pool::close_stale() {
  const TimePoint now = loop_.now();
  const Duration seen = endpoint_->seen_keep_alive();
  if (seen != known_keep_alive_) {
    known_keep_alive_ = seen;
    known_since_ = now;
  }
  // What lives on for twice as long (applications look at their idle ones every second or so), or
  // was seen long ago, is not its keep-alive.
  const bool refuted = !idle_.empty() && now - idle_.front()->idle_since_ > seen * 2;
  const bool forgotten = now - known_since_ >= KeepAliveLesson::kForgotten;
  if (seen > Duration{0} && (refuted || forgotten)) endpoint_->set_seen_keep_alive(Duration{0});
  const Duration limit = idle_limit();
  size_t stale = 0;
  while (stale < idle_.size() && now - idle_[stale]->idle_since_ >= limit) ++stale;
  discard_idle(stale);
  if (!idle_.empty()) arm_sweep(limit);
}

// A while after a FIN: nothing is learned from an application that has gone, or come back, since.
void Pool::draw_lesson() {
  const Duration learned = lesson_.conclude();
  const bool stayed = is_usable(endpoint_->state()) && endpoint_->changed_at() == lesson_since_;
  if (learned == Duration{0} || !stayed || !limits_.learn) return;
  if (!idle_.empty() && loop_.now() - idle_.front()->idle_since_ > learned * 2) return;
  const Duration seen = endpoint_->seen_keep_alive();
  known_since_ = loop_.now();  // seen again: not to be forgotten yet
  if (seen > Duration{0} && seen <= learned) return;
  endpoint_->set_seen_keep_alive(learned);
  known_keep_alive_ = learned;
  close_stale();
  owner_.on_learned();
}

void Pool::discard_idle(size_t count) {
  const auto end = idle_.begin() + static_cast<ptrdiff_t>(count);
  const std::vector<PooledConnection*> doomed(idle_.begin(), end);
  idle_.erase(idle_.begin(), end);
  for (PooledConnection* connection : doomed) discard(*connection);
}

http::ClientStream& PooledConnection::lease(const Wish& wish) {
  if (!wish.preface.empty()) {
    is_private_ = true;
    codec_->begin_with(wish.preface);
  }
  http::ClientStream& stream = codec_->lease();
  if (wish.unsafe && !pool_->read_watch().is_blind()) codec_->hold_rest();
  return stream;
}

bool PooledConnection::on_begun(int descriptor) {
  ReadWaiter& waiter = *this;
  is_watched_ = pool_->read_watch().join(waiter, descriptor);
  return is_watched_;
}

void PooledConnection::on_read() {
  is_watched_ = false;
  codec_->release_rest();
}

void PooledConnection::on_stream_over(bool reusable) {
  SLUICE_ASSERT(state_ == State::kLeased);
  if (std::exchange(is_watched_, false)) pool_->read_watch().leave(*this);
  pool_->on_lease_over(*this, reusable);
}

void PooledConnection::on_over() {
  if (state_ == State::kIdle) pool_->on_idle_over(*this);
}

}  // namespace sluice::upstream
