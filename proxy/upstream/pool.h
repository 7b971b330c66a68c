// Pool: one worker's connections to one endpoint. Idle ones are kept last-used-first, watched for
// the application's FIN, and closed before the application's own keep-alive would, as configured or
// as its FINs have taught. Says whether a request may come in: a place free, no more at once than
// an application that is just back can take, a connection to be had. Owned by its cluster; the
// worker's thread only.
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
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/dial_gate.h"
#include "proxy/upstream/endpoint.h"
#include "proxy/upstream/keep_alive_lesson.h"
#include "proxy/upstream/read_watch.h"

namespace sluice::upstream {

class Pool;
class PooledConnection;
struct Wish;

class PoolOwner {
 public:
  // A request that found no way in may find one now: a lease has ended, a dial came through.
  virtual void on_place_free(Pool& pool) = 0;
  // The endpoint's keep-alive was learned: other workers' idle connections are concerned as well.
  virtual void on_learned() = 0;

 protected:
  ~PoolOwner() = default;
};

class Pool final : private event::TimerEvents {
 public:
  Pool(event::Loop& loop, observe::WorkerMetrics& metrics, std::shared_ptr<Endpoint> endpoint,
       const config::Upstream& config, PoolOwner& owner);
  ~Pool();

  // A place for one request; every success is matched by a lease's end or by leave().
  bool try_enter(const Wish& wish);
  void leave();

  // The idle connection used last, if this request may have it. Requires: entered.
  PooledConnection* take_idle(const Wish& wish);
  // A connection for a socket just dialled, leased. Requires: entered.
  PooledConnection& adopt(std::unique_ptr<net::Transport> transport);
  // What a dial that failed says of the endpoint. Requires: its place was left.
  void on_refused(EndpointNews news);
  void on_backlog_full();

  // Looks at what others have noted of the endpoint since the last time.
  void look();
  // Nobody waits: the ramp ends once the application has answered.
  void relax();
  // A suspect is tried by a request now and then, or it would never be cleared.
  bool is_trial_due() const { return loop_.now() >= trial_at_; }
  void on_trial() { trial_at_ = loop_.now() + kTrialPause; }

  Endpoint& endpoint() { return *endpoint_; }
  const Endpoint& endpoint() const { return *endpoint_; }
  std::shared_ptr<const Endpoint> share_endpoint() const { return endpoint_; }
  Track& track() { return track_; }
  ReadWatch& read_watch() { return read_watch_; }
  uint32_t in_flight() const { return in_flight_; }
  size_t idle() const { return idle_.size(); }
  size_t connections() const { return all_.size(); }
  // How long a connection may be idle: as configured, and 20 % below what was learned.
  Duration idle_limit() const;
  // More is to be said at a place that is free than that it is.
  bool is_limited() const { return window_ > 0 || !gate_.is_open(); }
  void reconfigure(const config::Upstream& config);
  // Its endpoint is configured no more: leases go on to their end, nothing is kept.
  void retire();
  bool is_over() const { return is_retired_ && in_flight_ == 0 && all_.empty(); }

 private:
  friend class PooledConnection;
  static constexpr Duration kTrialPause = std::chrono::seconds(1);
  void on_lease_over(PooledConnection& connection, bool reusable);
  void on_idle_over(PooledConnection& connection);
  void on_timer(event::Timer& timer) override;
  void discard(PooledConnection& connection);
  void discard_idle(size_t count);
  void close_stale();
  void arm_sweep(Duration limit);
  void draw_lesson();
  bool has_idle_for(const Wish& wish) const;
  bool may_dial();
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
  config::Fastcgi fastcgi_;
  config::Hold hold_;
  uint32_t max_in_flight_ = 0;
  http::ClientLimits codec_limits_;
  bool is_retired_ = false;
  Track track_;
  uint32_t in_flight_ = 0;
  uint32_t permits_ = 0;  // of in_flight_, those counted at the endpoint (a reload may set a limit)
  // The ramp. A return of the endpoint begins an age; leases of the ages before do not count.
  uint32_t window_ = 0;  // in flight at once; 0: no ramp
  uint32_t age_ = 0;
  uint32_t elders_ = 0;  // leases of ages before
  DialGate gate_;
  EndpointState seen_state_;
  TimePoint seen_since_;
  TimePoint trial_at_{};
  KeepAliveLesson lesson_;
  TimePoint lesson_since_{};      // the endpoint's last change when it began
  Duration known_keep_alive_{0};  // when the present one was first seen here, to forget it some day
  TimePoint known_since_{};
  Duration swept_for_{0};                               // the limit sweep_ was armed for
  std::vector<std::unique_ptr<PooledConnection>> all_;  // bounded by in-flight + limits_.spare
  std::vector<PooledConnection*> idle_;                 // oldest first; bounded by limits_.spare
  ReadWatch read_watch_;
  event::Timer sweep_;
  event::Timer gate_pause_;
  event::Timer lesson_due_;
};

// One connection of a pool: the codec, and where it stands.
class PooledConnection final : public event::Deferred,
                               private http::ClientOwner,
                               private ReadWaiter {
 public:
  explicit PooledConnection(Pool& pool) : pool_(&pool), age_(pool.age_) {}

  http::ClientStream& lease(const Wish& wish);
  bool is_fresh() const { return codec_->requests() <= 1; }

 private:
  friend class Pool;
  enum class State : uint8_t { kLeased, kIdle, kOver };
  void on_stream_over(bool reusable) override;
  bool on_begun(int descriptor) override;
  void on_read() override;
  void on_over() override;

  Pool* pool_;
  const uint32_t age_;
  State state_ = State::kLeased;
  bool is_watched_ = false;  // by pool_->read_watch()
  bool is_private_ = false;  // it began with one client's address: nobody else's request goes by it
  size_t index_ = 0;         // in pool_->all_
  TimePoint idle_since_{};
  std::unique_ptr<http::ClientConnection> codec_;
};

}  // namespace sluice::upstream
