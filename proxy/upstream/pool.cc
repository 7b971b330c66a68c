#include "proxy/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/http/h1_client.h"
#include "proxy/http/uwsgi_client.h"

namespace sluice::upstream {

using observe::UpstreamConnectionState;

Pool::Pool(event::Loop& loop, observe::WorkerMetrics& metrics, std::shared_ptr<Endpoint> endpoint,
           const config::Upstream& config, PoolOwner& owner)
    : loop_(loop),
      metrics_(metrics),
      endpoint_(std::move(endpoint)),
      owner_(owner),
      protocol_(config.protocol),
      sweep_(loop.timers(), *this) {
  reconfigure(config);
}

Pool::~Pool() {
  // The last generation that could lease has gone, and its exchanges with it
  // (exchange/generation.h).
  SLUICE_ASSERT(in_flight_ == 0);
  count(UpstreamConnectionState::kIdle, -static_cast<int64_t>(idle_.size()));
}

void Pool::reconfigure(const config::Upstream& config) {
  limits_ = config.pool;
  max_in_flight_ = config.max_in_flight;
  codec_limits_.send = config.timeouts.send;
}

bool Pool::try_enter() {
  if (max_in_flight_ > 0) {
    if (!endpoint_->try_enter(max_in_flight_)) return false;
    ++permits_;
  }
  ++in_flight_;
  return true;
}

void Pool::leave() {
  SLUICE_ASSERT(in_flight_ > 0);
  --in_flight_;
  if (permits_ > 0) {
    --permits_;
    endpoint_->leave();
  }
  owner_.on_place_free();
}

PooledConnection* Pool::take_idle() {
  if (idle_.empty()) return nullptr;
  PooledConnection* connection = idle_.back();
  idle_.pop_back();
  connection->state_ = PooledConnection::State::kLeased;
  count(UpstreamConnectionState::kIdle, -1);
  count(UpstreamConnectionState::kActive, 1);
  return connection;
}

std::unique_ptr<http::ClientConnection> Pool::make_codec(std::unique_ptr<net::Transport> transport,
                                                         http::ClientOwner& owner) {
  if (protocol_ == config::Protocol::kUwsgi) {
    return std::make_unique<http::UwsgiClient>(std::move(transport), loop_.timers(), codec_limits_,
                                               owner);
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
  return *all_.back();
}

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
  const bool spent = limits_.requests > 0 && connection.codec_->requests() >= limits_.requests;
  if (!reusable || spent || limits_.idle == Duration{0} || idle_.size() >= limits_.spare) {
    discard(connection);
  } else {
    count(UpstreamConnectionState::kActive, -1);
    count(UpstreamConnectionState::kIdle, 1);
    connection.state_ = PooledConnection::State::kIdle;
    connection.idle_since_ = loop_.now();
    idle_.push_back(&connection);
    if (!sweep_.is_armed()) sweep_.arm(limits_.idle);
  }
  leave();
}

void Pool::on_idle_over(PooledConnection& connection) {
  std::erase(idle_, &connection);
  discard(connection);
}

// One timer for all: connections that come and go faster than the limit never touch it.
void Pool::on_timer(event::Timer&) {
  const TimePoint oldest_kept = loop_.now() - limits_.idle;
  size_t stale = 0;
  while (stale < idle_.size() && idle_[stale]->idle_since_ <= oldest_kept) ++stale;
  const std::vector<PooledConnection*> doomed(idle_.begin(),
                                              idle_.begin() + static_cast<ptrdiff_t>(stale));
  idle_.erase(idle_.begin(), idle_.begin() + static_cast<ptrdiff_t>(stale));
  for (PooledConnection* connection : doomed) discard(*connection);
  if (!idle_.empty()) sweep_.arm(idle_.front()->idle_since_ + limits_.idle - loop_.now());
}

void PooledConnection::on_stream_over(bool reusable) {
  SLUICE_ASSERT(state_ == State::kLeased);
  pool_->on_lease_over(*this, reusable);
}

void PooledConnection::on_over() {
  if (state_ == State::kIdle) pool_->on_idle_over(*this);
}

}  // namespace sluice::upstream
