#include "proxy/server/session.h"

#include <algorithm>
#include <utility>

#include "proxy/http/h1_server.h"
#include "proxy/http/h2_server.h"
#include "proxy/net/plain_transport.h"
#include "proxy/server/worker_listener.h"

namespace sluice::server {

using observe::ConnectionState;

Session::Session(WorkerListener& listener, const net::IpPort& client)
    : listener_(listener), born_(listener.loop().now()), client_(client) {}

Session::~Session() = default;

bool Session::start(Fd fd) {
  if (listener_.wants_proxy_header(client_)) return await_proxy_header(std::move(fd));
  return begin(std::move(fd));
}

bool Session::begin(Fd fd) {
  return listener_.tls() == nullptr ? open(std::move(fd), 0) : shake_hands(std::move(fd));
}

bool Session::resume(Fd fd, uint32_t requests, std::string_view proxied) {
  net::ProxyHeader header;
  if (!proxied.empty() &&
      net::parse_proxy_header(proxied, header).state == net::ProxyVerdict::State::kWhole) {
    believe(std::move(header), proxied);
  }
  return open(std::move(fd), requests);
}

// ---- the PROXY header ----

bool Session::await_proxy_header(Fd fd) {
  net::ProxyEvents& events = *this;
  proxy_reader_ =
      std::make_unique<net::ProxyReader>(listener_.loop(), listener_.proxy_terms(), events);
  if (!proxy_reader_->start(std::move(fd))) return false;
  enter(ConnectionState::kIdle);
  return true;
}

void Session::on_proxy_begun() {
  enter(ConnectionState::kActive);
}

void Session::on_proxy_header(Fd fd, net::ProxyHeader&& header, std::string_view wire) {
  listener_.loop().defer_delete(std::move(proxy_reader_));  // on the stack: it called us
  believe(std::move(header), wire);
  if (proxied_ != nullptr && !listener_.admit(client_, place_)) {
    early_end_ = observe::ConnectionEnd::kRefused;
    return listener_.on_session_over(*this);
  }
  if (!begin(std::move(fd))) listener_.on_session_over(*this);
}

void Session::on_no_proxy_header(net::ProxyEnd end, std::string_view reason) {
  switch (end) {
    case net::ProxyEnd::kFaulty: early_end_ = observe::ConnectionEnd::kRefused; break;
    case net::ProxyEnd::kTooSlow:
    case net::ProxyEnd::kSilent: early_end_ = observe::ConnectionEnd::kTimeout; break;
    case net::ProxyEnd::kClosed: early_end_ = observe::ConnectionEnd::kClient; break;
    case net::ProxyEnd::kOrdered: early_end_ = observe::ConnectionEnd::kOrder; break;
  }
  if (!reason.empty() && end == net::ProxyEnd::kOrdered) {
    listener_.on_rejected(client_, {503, reason, {}, {}});
  } else if (!reason.empty()) {
    listener_.on_no_proxy_header(client_, reason);
  }
  listener_.on_session_over(*this);
}

// From here on the client is who the header names; what speaks of the socket itself changes
// nothing.
void Session::believe(net::ProxyHeader&& header, std::string_view wire) {
  if (header.origin == net::ProxyHeader::Origin::kNone) return;
  auto proxied = std::make_unique<net::ProxiedClient>();
  proxied->hop = std::exchange(client_, header.source);
  proxied->destination = header.destination.ip_text().view();
  proxied->header = std::move(header);
  proxied->wire = wire;
  proxied_ = std::move(proxied);
}

// ---- TLS ----

bool Session::shake_hands(Fd fd) {
  if (!listener_.begin_handshake()) {
    early_end_ = observe::ConnectionEnd::kRefused;
    return false;
  }
  HandshakeEvents& events = *this;
  handshake_ = std::make_unique<Handshake>(listener_.loop(), events);
  if (handshake_->start(std::move(fd), listener_.tls(), listener_.handshake_limit())) return true;
  handshake_.reset();
  listener_.end_handshake();
  return false;
}

void Session::on_verdict(Verdict verdict) {
  listener_.end_handshake();
  listener_.on_handshake(client_, verdict, handshake_->transport());
  switch (verdict) {
    case Verdict::kDone:
      if (!open_secured()) listener_.on_session_over(*this);
      return;
    case Verdict::kPlain:
      if (!open_refusing()) listener_.on_session_over(*this);
      return;
    case Verdict::kFailed: early_end_ = observe::ConnectionEnd::kRefused; return;
    case Verdict::kTimeout: early_end_ = observe::ConnectionEnd::kTimeout; return;
    case Verdict::kLeft: early_end_ = observe::ConnectionEnd::kClient; return;
    case Verdict::kClosed: early_end_ = observe::ConnectionEnd::kOrder; return;
  }
}

void Session::on_parted() {
  listener_.on_session_over(*this);
}

bool Session::open_secured() {
  auto transport = handshake_->take_transport();
  listener_.loop().defer_delete(std::move(handshake_));  // it is still on the stack: it called us
  if (auto shown = transport->client_certificate()) {
    certificate_ = std::make_unique<const net::CertificateFacts>(std::move(*shown));
  }
  if (transport->protocol() == "h2") {
    serve_h2(std::move(transport), {});
  } else {
    serve(std::move(transport), 0, {});
  }
  return true;
}

// What is plainly a request gets a plain answer, with all that belongs to it.
bool Session::open_refusing() {
  std::string read;
  Fd fd = handshake_->take_plain(read);
  listener_.loop().defer_delete(std::move(handshake_));
  auto transport = net::PlainTransport::make(listener_.loop(), std::move(fd));
  if (!transport) return false;
  refusal_ = &kPlain;
  serve(std::move(*transport), 0, read);
  return true;
}

// ---- what is spoken ----

bool Session::open(Fd fd, uint32_t requests) {
  auto transport = net::PlainTransport::make(listener_.loop(), std::move(fd));
  if (!transport) return false;
  serve(std::move(*transport), requests, {});
  return true;
}

void Session::serve(std::unique_ptr<net::Transport> transport, uint32_t requests,
                    std::string_view already_read) {
  descriptor_ = transport->descriptor();
  is_secure_ = transport->is_secure();
  http::ServerOwner& owner = *this;
  auto codec = std::make_unique<http::H1Server>(std::move(transport), listener_.loop().timers(),
                                                listener_.codec_limits(), owner);
  http::H1Server& started = *codec;
  started.resume(requests);
  connection_ = std::move(codec);
  if (listener_.is_draining() || (listener_.hands_over() && !may_travel())) drain(true);
  started.start(already_read);
}

// By prior knowledge (http/h1_server has seen its preface), or because ALPN says so.
void Session::serve_h2(std::unique_ptr<net::Transport> transport, std::string_view already_read) {
  descriptor_ = transport->descriptor();
  is_secure_ = transport->is_secure();
  http::ServerOwner& owner = *this;
  auto codec = std::make_unique<http::H2Server>(std::move(transport), listener_.loop().timers(),
                                                listener_.codec_limits(), owner);
  http::H2Server& started = *codec;
  connection_ = std::move(codec);
  is_h2_ = true;
  listener_.services().observer.metrics().h2_connections(1);
  if (listener_.is_draining() || listener_.hands_over()) drain(true);
  started.start(already_read);
}

void Session::on_h2(std::unique_ptr<net::Transport> transport, std::string_view already_read) {
  listener_.loop().defer_delete(std::move(connection_));  // it is still on the stack: it called us
  serve_h2(std::move(transport), already_read);
}

void Session::on_limit(std::string_view limit) {
  listener_.services().observer.metrics().limit_hit(limit);
}

void Session::on_stream_over(http::StreamEnd end) {
  listener_.services().observer.metrics().h2_stream_over(static_cast<observe::H2StreamEnd>(end));
}

void Session::enter(ConnectionState state) {
  if (state == state_) return;
  listener_.on_session_state(*this, state_, state);
  state_ = state;
}

http::ServerEvents& Session::on_request(http::ServerStream& stream, http::RequestHead&& head) {
  enter(ConnectionState::kActive);
  exchange::ExchangeOwner& owner = *this;
  exchange::ClientInfo info = listener_.client_info(client_);
  info.descriptor = descriptor_;
  if (proxied_ != nullptr) {
    info.proxied = proxied_.get();
    // As our clients see it: where they called the proxy.
    if (!proxied_->destination.empty()) {
      info.local_address = proxied_->destination;
      info.local_port = proxied_->header.destination.port;
    }
    head.secure = head.secure || proxied_->header.secure;
  }
  info.certificate = certificate_.get();
  auto made = std::make_unique<exchange::Exchange>(listener_.services(), listener_.generation(),
                                                   info, stream, std::move(head), owner);
  exchange::Exchange& exchange = *made;
  exchanges_.push_back(std::move(made));
  if (refusal_ != nullptr) {
    stream.close_after();
    if (refusal_ == &kFull) {
      exchange.refuse_all_but_health(*refusal_);
    } else {
      exchange.refuse(*refusal_);
    }
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
  listener_.services().memory.look();
}

void Session::on_over() {
  if (is_h2_) listener_.services().observer.metrics().h2_connections(-1);
  listener_.on_session_over(*this);
}

void Session::on_exchange_over(exchange::Exchange& exchange) {
  const auto at = std::find_if(exchanges_.begin(), exchanges_.end(),
                               [&exchange](const auto& owned) { return owned.get() == &exchange; });
  listener_.loop().defer_delete(std::move(*at));  // it is still on the stack: it called us
  exchanges_.erase(at);
  if (exchanges_.empty()) exchanges_.shrink_to_fit();  // idle, it holds nothing
}

bool Session::may_travel() const {
  if (is_secure_ || is_h2_) return false;
  const size_t told = listener_.shared().name.size() + 1;
  return proxied_ == nullptr || told + proxied_->wire.size() <= Message{}.bytes.size();
}

void Session::close(std::string_view reason) {
  if (proxy_reader_ != nullptr) return proxy_reader_->close(reason);
  if (handshake_ != nullptr) return handshake_->close();
  if (exchanges_.empty()) return connection_->close(reason);
  // Each may end in there and leave exchanges_; it is deleted on a later tick only.
  std::vector<exchange::Exchange*> running;
  for (const auto& exchange : exchanges_) running.push_back(exchange.get());
  for (exchange::Exchange* exchange : running) exchange->abort(reason);
  if (is_h2_) connection_->retire();
}

exchange::Exchange* Session::heaviest() const {
  exchange::Exchange* found = nullptr;
  for (const auto& one : exchanges_) {
    if (one->is_health()) continue;
    if (found == nullptr || one->held() > found->held()) found = one.get();
  }
  return found;
}

Burden Session::burden() {
  Burden burden;
  burden.session = this;
  burden.since = born_;
  if (connection_ != nullptr) burden.bytes += connection_->held();
  for (const auto& one : exchanges_) burden.bytes += one->held();
  if (const auto* found = heaviest()) {
    burden.since = found->began();
  } else if (!exchanges_.empty()) {
    burden.bytes = 0;  // health answers
  }
  return burden;
}

void Session::shed() {
  if (auto* found = heaviest()) return found->abort("memory");
  if (exchanges_.empty() && connection_ != nullptr) connection_->close("memory");
}

void Session::list_tunnels(std::vector<exchange::Exchange*>& into) const {
  for (const auto& exchange : exchanges_) {
    if (exchange->may_tunnel()) into.push_back(exchange.get());
  }
}

observe::ConnectionEnd Session::end() const {
  if (connection_ == nullptr) return early_end_;
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
