#include "proxy/server/session.h"

#include <algorithm>
#include <utility>

#include "proxy/http/h1_server.h"
#include "proxy/net/plain_transport.h"
#include "proxy/server/worker_listener.h"

namespace sluice::server {

using observe::ConnectionState;

Session::Session(WorkerListener& listener, const net::IpPort& client)
    : listener_(listener), client_(client) {}

Session::~Session() = default;

bool Session::start(Fd fd, uint32_t requests) {
  auto transport = net::PlainTransport::make(listener_.loop(), std::move(fd));
  if (!transport) return false;
  http::ServerOwner& owner = *this;
  auto codec = std::make_unique<http::H1Server>(std::move(*transport), listener_.loop().timers(),
                                                listener_.codec_limits(), owner);
  http::H1Server& started = *codec;
  started.resume(requests);
  connection_ = std::move(codec);
  if (listener_.is_draining()) connection_->drain(true);
  started.start();
  return true;
}

void Session::enter(ConnectionState state) {
  if (state == state_) return;
  listener_.on_session_state(*this, state_, state);
  state_ = state;
}

http::ServerEvents& Session::on_request(http::ServerStream& stream, http::RequestHead&& head) {
  enter(ConnectionState::kActive);
  exchange::ExchangeOwner& owner = *this;
  auto made = std::make_unique<exchange::Exchange>(listener_.services(), listener_.generation(),
                                                   listener_.client_info(client_), stream,
                                                   std::move(head), owner);
  exchange::Exchange& exchange = *made;
  exchanges_.push_back(std::move(made));
  if (refusing_) {
    stream.close_after();
    exchange.refuse({503, "connections", 1});
  } else {
    exchange.start();
  }
  return exchange.events();
}

void Session::on_rejected(const http::Rejection& rejection) {
  listener_.on_rejected(client_, rejection);
}

void Session::on_idle(bool idle) {
  enter(idle ? ConnectionState::kIdle : ConnectionState::kActive);
}

void Session::on_over() {
  listener_.on_session_over(*this);
}

void Session::on_exchange_over(exchange::Exchange& exchange) {
  const auto at = std::find_if(exchanges_.begin(), exchanges_.end(),
                               [&exchange](const auto& owned) { return owned.get() == &exchange; });
  listener_.loop().defer_delete(std::move(*at));  // it is still on the stack: it called us
  exchanges_.erase(at);
}

void Session::close(std::string_view reason) {
  if (exchanges_.empty()) return connection_->close(reason);
  // Each may end in there and leave exchanges_; it is deleted on a later tick only.
  std::vector<exchange::Exchange*> running;
  for (const auto& exchange : exchanges_) running.push_back(exchange.get());
  for (exchange::Exchange* exchange : running) exchange->abort(reason);
}

observe::ConnectionEnd Session::end() const {
  if (connection_ == nullptr) return observe::ConnectionEnd::kFailed;
  switch (connection_->ending()) {
    case http::Ending::kOpen: return observe::ConnectionEnd::kHandedOver;
    case http::Ending::kClient: return observe::ConnectionEnd::kClient;
    case http::Ending::kAnswer: return observe::ConnectionEnd::kAnswer;
    case http::Ending::kTimeout: return observe::ConnectionEnd::kTimeout;
    case http::Ending::kOrder: return observe::ConnectionEnd::kOrder;
  }
  return observe::ConnectionEnd::kFailed;
}

}  // namespace sluice::server
