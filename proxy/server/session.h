// Session: one client's connection and the exchanges it carries. Owned by its worker's listener;
// lives as long as the client stays; deleted on a later tick than its end. The worker's thread
// only.
//
//   accepted -> (TLS: server/handshake, kNew) -> kNew -> kActive <-> kIdle -> (on_over) deleted
//                └── a PROXY header is awaited first (net/proxy_reader): kIdle, from its first
//                    byte on kActive; then the same as without
#pragma once

#include <memory>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/base/recycled.h"
#include "proxy/event/loop.h"
#include "proxy/exchange/exchange.h"
#include "proxy/http/connection.h"
#include "proxy/net/address.h"
#include "proxy/net/proxy_reader.h"
#include "proxy/server/handshake.h"

namespace sluice::server {

class WorkerListener;
class Session;

// What a session holds in memory, health answers apart, and since when the request has been there
// that holds most of it; where its head is not whole, the connection.
struct Burden {
  uint64_t bytes = 0;
  TimePoint since;
  Session* session = nullptr;
};

class Session final : public event::Deferred,
                      public Recycled<Session>,
                      private http::ServerOwner,
                      private net::ProxyEvents,
                      private HandshakeEvents,
                      private exchange::ExchangeOwner {
 public:
  Session(WorkerListener& listener, const net::IpPort& client);
  ~Session() override;

  // Either, once, right after birth. False: the socket could not be watched.
  bool start(Fd fd);
  // `requests`: what it carried in the process it comes from; `proxied`: the PROXY header that it
  // began with there, or nothing.
  bool resume(Fd fd, uint32_t requests, std::string_view proxied);
  // Answers 503 to whatever is asked first, then closes: the ceiling of connections was reached.
  void refuse_first() { refusal_ = &kFull; }

  // Connection: close with the next answer; idle connections stay (DESIGN, law 3).
  void drain(bool draining) {
    if (connection_ != nullptr) connection_->drain(draining);
  }
  // Closes: an idle connection politely; a running exchange answers 503 if it still can, else it is
  // broken off; either is counted under the reason (static text).
  void close(std::string_view reason);
  Burden burden();
  // Ends the request that holds most.
  void shed();
  // Adds those that may have to end by Exchange::end_tunnel().
  void list_tunnels(std::vector<exchange::Exchange*>& into) const;
  observe::ConnectionEnd end() const;
  // See http::ServerConnection.
  int idle_descriptor() const {
    return connection_ == nullptr ? -1 : connection_->idle_descriptor();
  }
  // It can be given to a successor, as soon as it is idle: all that has to be known of it can be
  // told, beside the name of its listener, and TLS has no state outside the socket.
  bool may_travel() const;
  bool is_idle() const { return state_ == observe::ConnectionState::kIdle; }

 private:
  friend class WorkerListener;
  using Exchanges = std::vector<std::unique_ptr<exchange::Exchange>,
                                RecycledAllocator<std::unique_ptr<exchange::Exchange>>>;
  static constexpr exchange::Outcome kFull{503, "connections", 1};
  static constexpr exchange::Outcome kPlain{400, "plain_http"};

  http::ServerEvents& on_request(http::ServerStream& stream, http::RequestHead&& head) override;
  void on_rejected(const http::Rejection& rejection) override;
  void on_limit(std::string_view limit) override;
  void on_stream_over(http::StreamEnd end) override;
  void on_h2(std::unique_ptr<net::Transport> transport, std::string_view already_read) override;
  void on_idle(bool idle) override;
  void on_over() override;
  void on_exchange_over(exchange::Exchange& exchange) override;
  void on_proxy_begun() override;
  void on_proxy_header(Fd fd, net::ProxyHeader&& header, std::string_view wire) override;
  void on_no_proxy_header(net::ProxyEnd end, std::string_view reason) override;
  bool await_proxy_header(Fd fd);
  void believe(net::ProxyHeader&& header, std::string_view wire);
  bool begin(Fd fd);
  void on_verdict(Verdict verdict) override;
  void on_parted() override;
  bool shake_hands(Fd fd);
  exchange::Exchange* heaviest() const;
  bool open_secured();
  bool open_refusing();
  bool open(Fd fd, uint32_t requests);
  void serve(std::unique_ptr<net::Transport> transport, uint32_t requests,
             std::string_view already_read);
  void serve_h2(std::unique_ptr<net::Transport> transport, std::string_view already_read);
  void enter(observe::ConnectionState state);

  WorkerListener& listener_;
  const TimePoint born_;
  net::IpPort client_;  // the socket's other end, or whom its PROXY header names
  observe::ConnectionState state_ = observe::ConnectionState::kNew;
  observe::ConnectionEnd early_end_ = observe::ConnectionEnd::kFailed;  // without a connection_
  int descriptor_ = -1;                                                 // connection_'s
  const exchange::Outcome* refusal_ = nullptr;  // of whatever is asked first; null: none
  bool is_secure_ = false;                      // connection_ is
  bool is_h2_ = false;                          // the same: several exchanges at once
  uint32_t index_ = 0;                          // in the listener's sessions
  Session* idle_next_ = nullptr;                // the listener's list of idle sessions
  Session** idle_prev_ = nullptr;               // the pointer that points here; null: not in it
  exchange::ClientTable::Place place_;          // among the connections of its client
  std::unique_ptr<const net::ProxiedClient> proxied_;  // where client_ came by a PROXY header
  std::unique_ptr<const net::CertificateFacts> certificate_;  // the client's
  Exchanges exchanges_;                                       // h1: one; h2: limits.streams
  std::unique_ptr<http::ServerConnection> connection_;
  std::unique_ptr<net::ProxyReader> proxy_reader_;  // before connection_, where it is asked for
  std::unique_ptr<Handshake> handshake_;            // before connection_, where TLS is spoken
};

// What an idle client connection costs, beside http::H1Server and its transport; keep it small.
static_assert(sizeof(Session) <= 184);

}  // namespace sluice::server
