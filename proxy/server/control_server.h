// ControlServer: the small HTTP server of the control thread: metrics and health over TCP (reads
// only), orders and status over a unix socket. Speaks through the same codec as the workers. A
// handler answers a request at once, or later (an order whose verdict has to be awaited). Control
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"
#include "proxy/http/connection.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/listen_socket.h"

namespace sluice::server {

struct ControlReply {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

// Says the reply, once, now or on a later tick; a client that left is no fault.
using ControlAnswer = std::function<void(ControlReply)>;
using ControlHandler =
    std::function<void(std::string_view method, std::string_view path, ControlAnswer answer)>;

class ControlServer final : private net::AcceptEvents {
 public:
  ControlServer(event::Loop& loop, net::ListenSocket socket, ControlHandler handler);
  ~ControlServer();

  Status start() { return acceptor_.start(); }
  // Another process answers here now: accepts no more; open connections end with their next answer.
  void retire();
  std::string address() const { return socket_.local().text(); }

 private:
  class Connection;
  void on_accepted(Fd fd, const net::SocketAddress& client) override;
  void on_accept_paused(const Error&) override {}
  void on_over(Connection& connection);

  static constexpr size_t kMostConnections = 64;
  event::Loop& loop_;
  const net::ListenSocket socket_;
  const ControlHandler handler_;
  const http::ServerLimits limits_;
  std::vector<std::unique_ptr<Connection>> connections_;  // bounded by kMostConnections
  net::Acceptor acceptor_;
};

}  // namespace sluice::server
