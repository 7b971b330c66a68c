// Session: one client's connection and the exchanges it carries. Owned by its worker's listener;
// lives as long as the client stays; deleted on a later tick than its end. The worker's thread
// only.
//
//   accepted -> kNew -> kActive <-> kIdle -> (on_over) deleted
#pragma once

#include <memory>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/base/recycled.h"
#include "proxy/event/loop.h"
#include "proxy/exchange/exchange.h"
#include "proxy/http/connection.h"
#include "proxy/net/address.h"

namespace sluice::server {

class WorkerListener;

class Session final : public event::Deferred,
                      public Recycled<Session>,
                      private http::ServerOwner,
                      private exchange::ExchangeOwner {
 public:
  Session(WorkerListener& listener, const net::IpPort& client);
  ~Session() override;

  // Requires: once, right after birth. False: the socket could not be watched.
  // `requests`: what it carried in the process it comes from.
  bool start(Fd fd, uint32_t requests = 0);
  // Answers 503 to whatever is asked first, then closes: the ceiling of connections was reached.
  void refuse_first() { refusing_ = true; }

  // Connection: close with the next answer; idle connections stay (DESIGN, law 3).
  void drain(bool draining) { connection_->drain(draining); }
  // Closes: an idle connection politely; a running exchange answers 503 if it still can, else it is
  // broken off; either is counted under the reason (static text).
  void close(std::string_view reason);
  observe::ConnectionEnd end() const;
  // See http::ServerConnection.
  int idle_descriptor() const { return connection_->idle_descriptor(); }
  bool is_idle() const { return state_ == observe::ConnectionState::kIdle; }

 private:
  friend class WorkerListener;
  http::ServerEvents& on_request(http::ServerStream& stream, http::RequestHead&& head) override;
  void on_rejected(const http::Rejection& rejection) override;
  void on_idle(bool idle) override;
  void on_over() override;
  void on_exchange_over(exchange::Exchange& exchange) override;
  void enter(observe::ConnectionState state);

  WorkerListener& listener_;
  const net::IpPort client_;
  observe::ConnectionState state_ = observe::ConnectionState::kNew;
  bool refusing_ = false;
  uint32_t index_ = 0;             // in the listener's sessions
  Session* idle_next_ = nullptr;   // the listener's list of idle sessions
  Session** idle_prev_ = nullptr;  // the pointer that points here; null: not in it
  std::vector<std::unique_ptr<exchange::Exchange>> exchanges_;  // h1: one at most
  std::unique_ptr<http::ServerConnection> connection_;
};

}  // namespace sluice::server
