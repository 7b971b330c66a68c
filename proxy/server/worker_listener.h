// WorkerListener: one worker's share of one listener: it accepts, keeps the sessions, and knows
// their ceilings and deadlines. Owned by the worker, also while a removed listener's last sessions
// run out; the worker's thread only. ListenerShared is what all workers' shares have in common.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/listen_socket.h"
#include "proxy/server/idle_hand_over.h"
#include "proxy/server/session.h"

namespace sluice::server {

struct ListenerShared {
  ListenerShared(net::ListenSocket opened, std::string configured, observe::ListenerId label)
      : socket(std::move(opened)), name(std::move(configured)), id(label) {
    const net::IpPort local = socket.local().ip_port();
    local_address = local.ip_text().view();
    local_port = local.port;
    bound = socket.local().text();
  }

  net::ListenSocket socket;  // closed by the control thread when all workers have let go
  const std::string name;    // as configured; label in the metrics
  const observe::ListenerId id;
  std::string bound;          // "127.0.0.1:41234"
  std::string local_address;  // the same without the port
  uint16_t local_port = 0;
  std::atomic<uint32_t> open{0};        // connections, all workers; touched once per connection
  std::atomic<uint32_t> handshakes{0};  // of TLS, under way, all workers; the same
  // Of those accepted while draining: how long a handshake may take.
  std::atomic<uint32_t> slowest_round_trip{0};  // microseconds
};

// What the whole process may have open; shared by all listeners.
struct ConnectionBudget {
  std::atomic<uint32_t> open{0};
  std::atomic<uint32_t> ceiling{0};
};

class WorkerListenerOwner {
 public:
  virtual const std::shared_ptr<const exchange::Generation>& generation() const = 0;
  virtual bool is_draining() const = 0;
  virtual void on_listener_empty() = 0;

 protected:
  ~WorkerListenerOwner() = default;
};

class WorkerListener final : private net::AcceptEvents {
 public:
  WorkerListener(const exchange::Services& services, std::shared_ptr<ListenerShared> shared,
                 ConnectionBudget& budget, const config::Listener& config,
                 WorkerListenerOwner& owner);
  ~WorkerListener();

  Status start() { return acceptor_.start(); }
  void reconfigure(const config::Listener& config);
  // For connections from now on; null: they are plain.
  void set_tls(std::shared_ptr<const net::TlsContext> tls) { tls_ = std::move(tls); }
  // Announces the end on every connection from now on (or no longer); accepting goes on.
  void drain(bool draining);
  // Takes what is queued, then accepts no more. Sessions go on.
  void stop_accepting();
  bool is_accepting() const { return accepting_; }
  void accept_queue() { acceptor_.drain_queue(); }
  // A successor has the socket, too: accepts no more, and gives it whoever is idle. Requires: the
  // line outlives this.
  void hand_over(const Channel& line);
  // A client connection of our predecessor.
  // `proxied`: the PROXY header it began with there, or nothing.
  void adopt(Fd fd, const net::IpPort& client, uint32_t requests, std::string_view proxied);
  // No request becomes a tunnel any more, and those that are open end politely, one by one, within
  // that time. Said again, it is sooner, never later.
  void end_tunnels(Duration budget);
  // Closes idle connections, those idle longest first; or all of them (Session::close).
  void close_idle(std::string_view reason);
  void close_all(std::string_view reason);

  ListenerShared& shared() { return *shared_; }
  size_t sessions() const { return sessions_.size(); }
  // Adds what holds memory.
  void list_burdens(std::vector<Burden>& into) const;

  // -- for sessions --
  event::Loop& loop() { return services_.loop; }
  const exchange::Services& services() const { return services_; }
  const std::shared_ptr<const exchange::Generation>& generation() const {
    return owner_.generation();
  }
  const http::ServerLimits& codec_limits() const { return codec_limits_; }
  bool is_draining() const { return draining_ || owner_.is_draining(); }
  bool hands_over() const { return hand_over_ != nullptr; }
  exchange::ClientInfo client_info(const net::IpPort& client) const;
  // False, counted and logged: there may be no further connection of this client now.
  bool admit(const net::IpPort& client, exchange::ClientTable::Place& place);
  void on_session_state(Session& session, observe::ConnectionState from,
                        observe::ConnectionState to);
  void on_session_over(Session& session);
  void on_rejected(const net::IpPort& client, const http::Rejection& rejection);
  // Whether connections from there have to, or may, begin with a PROXY header; and how it is read.
  bool wants_proxy_header(const net::IpPort& client) const;
  net::ProxyReader::Terms proxy_terms() const;
  void on_no_proxy_header(const net::IpPort& client, std::string_view reason);

  const std::shared_ptr<const net::TlsContext>& tls() const { return tls_; }
  Duration handshake_limit() const { return config_.timeouts.handshake; }
  bool begin_handshake();  // false: there are too many
  void end_handshake() { shared_->handshakes.fetch_sub(1, std::memory_order_relaxed); }
  void on_handshake(const net::IpPort& client, Verdict verdict, const net::TlsTransport& tls);

  // -- for IdleHandOver --
  enum class Given : uint8_t { kNone, kOne, kLater, kGone };
  Given give_idle(const Channel& line);

 private:
  void on_accepted(Fd fd, const net::SocketAddress& client) override;
  void on_accept_paused(const Error& error) override;
  enum class Room : uint8_t { kFree, kRefuse, kNone };
  Room make_room();
  void turn_away(const net::IpPort& client, std::string_view limit);
  bool is_trusted(const net::IpPort& client) const;
  Session& add_session(const net::IpPort& client);
  void note_round_trip(int descriptor);
  void unlink_idle(Session& session);

  const exchange::Services& services_;
  const std::shared_ptr<ListenerShared> shared_;
  ConnectionBudget& budget_;
  WorkerListenerOwner& owner_;
  config::Listener config_;
  http::ServerLimits codec_limits_;
  exchange::ClientRate connection_rate_;
  exchange::ClientRate request_rate_;
  std::shared_ptr<const net::TlsContext> tls_;
  bool draining_ = false;
  bool accepting_ = true;
  bool ends_tunnels_ = false;
  std::vector<std::unique_ptr<Session>> sessions_;  // bounded by limits.connections
  Session* idle_ = nullptr;                         // longest idle first
  Session** idle_tail_ = &idle_;
  std::unique_ptr<IdleHandOver> hand_over_;  // while we retire
  net::Acceptor acceptor_;
};

}  // namespace sluice::server
