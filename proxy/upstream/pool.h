// Pool: one worker's connections to one endpoint. Idle ones are kept last-used-first, watched for
// the application's FIN, and closed before the application's own keep-alive would. Owned by its
// cluster; the worker's thread only.
//
//   a connection:  dialling (a Ticket's) -> leased <-> idle -> over
#pragma once

#include <memory>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/event/loop.h"
#include "proxy/http/connection.h"
#include "proxy/net/transport.h"
#include "proxy/observe/worker_metrics.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

class PooledConnection;

class PoolOwner {
 public:
  // A lease has ended: its place under max_in_flight is free.
  virtual void on_place_free() = 0;

 protected:
  ~PoolOwner() = default;
};

class Pool final : private event::TimerEvents {
 public:
  Pool(event::Loop& loop, observe::WorkerMetrics& metrics, std::shared_ptr<Endpoint> endpoint,
       const config::Upstream& config, PoolOwner& owner);
  ~Pool();

  // A place for one request; every success is matched by a lease's end or by leave().
  bool try_enter();
  void leave();

  // The idle connection used last; null when there is none. Requires: entered.
  PooledConnection* take_idle();
  // A connection for a socket just dialled, leased. Requires: entered.
  PooledConnection& adopt(std::unique_ptr<net::Transport> transport);

  Endpoint& endpoint() { return *endpoint_; }
  uint32_t in_flight() const { return in_flight_; }
  size_t idle() const { return idle_.size(); }
  size_t connections() const { return all_.size(); }
  void reconfigure(const config::Upstream& config);
  // After a refused or failed connect the balancer prefers others for a while.
  void on_dial_failed() {
    metrics_.connected(endpoint_->id(), false);
    penalized_until_ = loop_.now() + std::chrono::seconds(1);
  }
  bool is_penalized() const { return penalized_until_ > loop_.now(); }

 private:
  friend class PooledConnection;
  void on_lease_over(PooledConnection& connection, bool reusable);
  void on_idle_over(PooledConnection& connection);
  void on_timer(event::Timer& timer) override;
  void discard(PooledConnection& connection);
  std::unique_ptr<http::ClientConnection> make_codec(std::unique_ptr<net::Transport> transport,
                                                     http::ClientOwner& owner);

  void count(observe::UpstreamConnectionState state, int64_t by) {
    metrics_.connections(endpoint_->id(), state, by);
  }

  event::Loop& loop_;
  observe::WorkerMetrics& metrics_;
  const std::shared_ptr<Endpoint> endpoint_;
  PoolOwner& owner_;
  config::Protocol protocol_;
  config::Pool limits_;
  uint32_t max_in_flight_ = 0;
  http::ClientLimits codec_limits_;
  uint32_t in_flight_ = 0;
  uint32_t permits_ = 0;  // of in_flight_, those counted at the endpoint (a reload may set a limit)
  TimePoint penalized_until_{};
  std::vector<std::unique_ptr<PooledConnection>> all_;  // bounded by in-flight + limits_.spare
  std::vector<PooledConnection*> idle_;                 // oldest first; bounded by limits_.spare
  event::Timer sweep_;
};

// One connection of a pool: the codec, and where it stands.
class PooledConnection final : public event::Deferred, private http::ClientOwner {
 public:
  explicit PooledConnection(Pool& pool) : pool_(&pool) {}

  http::ClientStream& lease() { return codec_->lease(); }
  bool is_fresh() const { return codec_->requests() <= 1; }

 private:
  friend class Pool;
  enum class State : uint8_t { kLeased, kIdle, kOver };
  void on_stream_over(bool reusable) override;
  void on_over() override;

  Pool* pool_;
  State state_ = State::kLeased;
  size_t index_ = 0;  // in pool_->all_
  TimePoint idle_since_{};
  std::unique_ptr<http::ClientConnection> codec_;
};

}  // namespace sluice::upstream
