#include "proxy/server/worker_listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <random>
#include <utility>

namespace sluice::server {

using observe::ConnectionState;

namespace {

http::ServerLimits limits_of(const config::Listener& config) {
  http::ServerLimits limits;
  limits.request_line = config.limits.line.count;
  limits.header_block = config.limits.headers.count;
  limits.header_count = config.limits.header_count;
  limits.requests = config.limits.requests;
  limits.streams = config.limits.streams;
  limits.body_rate = config.limits.body_rate.count;
  limits.send_rate = config.limits.send_rate.count;
  limits.first_byte = config.timeouts.first_byte;
  limits.header = config.timeouts.header;
  limits.idle = config.timeouts.idle;
  limits.body = config.timeouts.body;
  limits.send = config.timeouts.send;
  limits.ping = config.timeouts.ping;
  return limits;
}

// Who holds less is not worth ending: that much is allowed for with each connection.
constexpr uint64_t kLeastBurden = 4096;

// A little more than a ceiling, for those that are told of it.
uint32_t with_reserve(uint32_t ceiling) {
  const uint64_t more = uint64_t{ceiling} + ceiling / 8 + 8;
  return static_cast<uint32_t>(std::min<uint64_t>(more, UINT32_MAX));
}

// The limits of a codec that have a metric of their own when they are met.
std::string_view limit_of(std::string_view reason) {
  if (reason == "request_line_too_long") return "line";
  if (reason == "headers_too_large") return "headers";
  if (reason == "too_many_headers") return "header_count";
  if (reason == "header_timeout" || reason == "proxy_header_timeout") return "header_timeout";
  if (reason == "proxy_header_too_long") return "proxy_header";
  if (reason == "memory") return "memory";
  return {};
}

}  // namespace

WorkerListener::WorkerListener(const exchange::Services& services,
                               std::shared_ptr<ListenerShared> shared, ConnectionBudget& budget,
                               const config::Listener& config, WorkerListenerOwner& owner)
    : services_(services),
      shared_(std::move(shared)),
      budget_(budget),
      owner_(owner),
      acceptor_(services.loop, shared_->socket.descriptor(), *this) {
  reconfigure(config);
}

// The process ends, or these sessions are over and not deleted yet: the books are kept either way.
WorkerListener::~WorkerListener() {
  for (const auto& session : sessions_) {
    services_.observer.metrics().ended(shared_->id, observe::ConnectionEnd::kOrder);
    services_.observer.metrics().connections(shared_->id, session->state_, -1);
  }
}

void WorkerListener::reconfigure(const config::Listener& config) {
  config_ = config;
  codec_limits_ = limits_of(config);
  connection_rate_ = exchange::ClientRate(config.limits.connection_rate, shared_->id.index * 2);
  request_rate_ = exchange::ClientRate(config.limits.request_rate, shared_->id.index * 2 + 1);
}

// ---- accepting ----

// At a ceiling the connection idle longest makes room; where none is idle, the newcomer is told so,
// unless it only asks for our health. They that are told have a ceiling, too.
WorkerListener::Room WorkerListener::make_room() {
  const uint32_t mine = shared_->open.load(std::memory_order_relaxed);
  const uint32_t all = budget_.open.load(std::memory_order_relaxed);
  const uint32_t most = budget_.ceiling.load(std::memory_order_relaxed);
  if (mine < config_.limits.connections && all < most) return Room::kFree;
  services_.observer.metrics().limit_hit("connections");
  if (idle_ == nullptr) {
    const bool fits = mine < with_reserve(config_.limits.connections) && all < with_reserve(most);
    return fits ? Room::kRefuse : Room::kNone;
  }
  Session& oldest = *idle_;
  unlink_idle(oldest);
  oldest.close("connections");
  return Room::kFree;
}

// Who is trusted speaks for others; they are counted by what it says of them.
bool WorkerListener::admit(const net::IpPort& client, exchange::ClientTable::Place& place) {
  const uint32_t most = config_.limits.client_connections;
  if (most == 0 && !connection_rate_.is_on()) return true;
  if (client.ip == net::IpPort{}.ip || is_trusted(client)) return true;
  observe::WorkerMetrics& metrics = services_.observer.metrics();
  if (most > 0) {
    const auto found = services_.clients.take_place(client, connection_rate_.scope, most, place);
    if (!found.remembered) metrics.limit_hit("clients");
    if (!found.admitted) return turn_away(client, "client_connections"), false;
  }
  if (connection_rate_.is_on()) {
    const auto rate = services_.clients.take(client, connection_rate_, loop().now());
    if (!rate.remembered) metrics.limit_hit("clients");
    if (!rate.admitted) return turn_away(client, "connection_rate"), false;
  }
  return true;
}

void WorkerListener::turn_away(const net::IpPort& client, std::string_view limit) {
  services_.observer.metrics().limit_hit(limit);
  services_.observer.metrics().dropped(limit);
  services_.log.limited(observe::Severity::kWarning, std::string(limit) + " " + shared_->name,
                        "listener " + shared_->name + ": a connection from " +
                            std::string(client.ip_text().view()) +
                            " was closed: " + std::string(limit));
}

void WorkerListener::on_accepted(Fd fd, const net::SocketAddress& client) {
  services_.observer.metrics().accepted(shared_->id);
  if (is_draining()) note_round_trip(fd.get());
  const net::IpPort from = client.ip_port();
  exchange::ClientTable::Place place;
  if (!wants_proxy_header(from) && !admit(from, place)) {
    return services_.observer.metrics().ended(shared_->id, observe::ConnectionEnd::kRefused);
  }
  const Room room = make_room();
  if (room == Room::kNone) {
    services_.observer.metrics().dropped("connections");
    return services_.observer.metrics().ended(shared_->id, observe::ConnectionEnd::kRefused);
  }
  Session& session = add_session(from);
  session.place_ = std::move(place);
  if (room == Room::kRefuse) session.refuse_first();
  if (!session.start(std::move(fd))) on_session_over(session);
}

Session& WorkerListener::add_session(const net::IpPort& client) {
  shared_->open.fetch_add(1, std::memory_order_relaxed);
  budget_.open.fetch_add(1, std::memory_order_relaxed);
  services_.observer.metrics().connections(shared_->id, ConnectionState::kNew, 1);
  auto made = std::make_unique<Session>(*this, client);
  Session& session = *made;
  session.index_ = static_cast<uint32_t>(sessions_.size());
  sessions_.push_back(std::move(made));
  return session;
}

// A drain waits for handshakes that are under way; this says how long they take.
void WorkerListener::note_round_trip(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
  uint32_t seen = shared_->slowest_round_trip.load(std::memory_order_relaxed);
  while (seen < info.tcpi_rtt &&
         !shared_->slowest_round_trip.compare_exchange_weak(seen, info.tcpi_rtt)) {
  }
}

void WorkerListener::on_accept_paused(const Error& error) {
  services_.observer.metrics().accept_paused(shared_->id);
  services_.log.limited(observe::Severity::kWarning, "accept " + shared_->name,
                        "listener " + shared_->name + ": accepting pauses: " + error.detail);
  if (idle_ != nullptr) {
    Session& oldest = *idle_;
    unlink_idle(oldest);
    oldest.close("no_descriptor");
  }
}

void WorkerListener::stop_accepting() {
  if (!std::exchange(accepting_, false)) return;
  acceptor_.drain_queue();
  acceptor_.stop();
}

// ---- an upgrade ----

// The queue after the last look at it: a connection whose wake-up went to us (EPOLLEXCLUSIVE) would
// wait for the successor's next one.
void WorkerListener::hand_over(const Channel& line) {
  accepting_ = false;
  acceptor_.stop();
  acceptor_.drain_queue();
  hand_over_ = std::make_unique<IdleHandOver>(*this, line);
  for (const auto& session : sessions_) {
    if (!session->may_travel()) session->drain(true);
  }
}

void WorkerListener::adopt(Fd fd, const net::IpPort& client, uint32_t requests,
                           std::string_view proxied) {
  services_.observer.metrics().accepted(shared_->id);
  Session& session = add_session(client);
  // It was admitted there.
  if (config_.limits.client_connections > 0 && !is_trusted(client)) {
    services_.clients.take_place(client, connection_rate_.scope, UINT32_MAX, session.place_);
  }
  if (!session.resume(std::move(fd), requests, proxied)) on_session_over(session);
}

WorkerListener::Given WorkerListener::give_idle(const Channel& line) {
  Session* session = idle_;
  while (session != nullptr && (!session->may_travel() || session->idle_descriptor() < 0)) {
    session = session->idle_next_;
  }
  if (session == nullptr) return Given::kNone;
  // The listener's name and, behind a zero, the PROXY header; one that does not fit keeps its
  // connection here.
  std::string text = shared_->name;
  if (session->proxied_ != nullptr) text.append(1, '\0').append(session->proxied_->wire);
  Message message(Word::kConnection, text, session->connection_->requests());
  const net::IpPort hop = session->proxied_ != nullptr ? session->proxied_->hop : session->client_;
  message.ip = hop.ip;
  message.port = hop.port;
  switch (line.try_send(message, session->idle_descriptor())) {
    case Channel::Sent::kFull: return Given::kLater;
    case Channel::Sent::kGone: return Given::kGone;
    case Channel::Sent::kSent: break;
  }
  on_session_over(*session);  // our descriptor closes, the connection goes on
  return Given::kOne;
}

// ---- sessions ----

bool WorkerListener::is_trusted(const net::IpPort& client) const {
  return std::any_of(config_.trusted_proxies.begin(), config_.trusted_proxies.end(),
                     [&client](const auto& network) { return network.contains(client.ip); });
}

bool WorkerListener::wants_proxy_header(const net::IpPort& client) const {
  switch (config_.proxy_protocol) {
    case config::ProxyProtocol::kOff: return false;
    case config::ProxyProtocol::kOptional: return is_trusted(client);
    case config::ProxyProtocol::kRequired: return true;
  }
  return false;
}

net::ProxyReader::Terms WorkerListener::proxy_terms() const {
  return {config_.proxy_protocol == config::ProxyProtocol::kOptional, config_.timeouts.first_byte,
          config_.timeouts.header};
}

void WorkerListener::on_no_proxy_header(const net::IpPort& client, std::string_view reason) {
  on_rejected(client, {400, reason, {}, {}});
  services_.log.limited(observe::Severity::kWarning, "proxy " + shared_->name,
                        "listener " + shared_->name + ": a connection from " +
                            std::string(client.ip_text().view()) +
                            " was closed: " + std::string(reason));
}

bool WorkerListener::begin_handshake() {
  const uint32_t before = shared_->handshakes.fetch_add(1, std::memory_order_relaxed);
  if (before < config_.limits.handshakes) return true;
  end_handshake();
  observe::WorkerMetrics& metrics = services_.observer.metrics();
  metrics.limit_hit("handshakes");
  metrics.shaken(shared_->id, observe::Handshake::kCeiling);
  metrics.dropped("tls_handshake");
  return false;
}

void WorkerListener::on_handshake(const net::IpPort& client, Verdict verdict,
                                  const net::TlsTransport& tls) {
  using observe::Handshake;
  // Who only looked whether we are there began nothing.
  if (verdict != Verdict::kDone && !tls.has_begun()) return;
  Handshake how = Handshake::kFailed;
  switch (verdict) {
    case Verdict::kDone:
      if (tls.is_resumed()) {
        how = tls.is_version13() ? Handshake::k13Resumed : Handshake::k12Resumed;
      } else {
        how = tls.is_version13() ? Handshake::k13 : Handshake::k12;
      }
      break;
    case Verdict::kPlain: how = Handshake::kPlain; break;
    case Verdict::kFailed: break;
    case Verdict::kTimeout: how = Handshake::kTimeout; break;
    case Verdict::kLeft:
    case Verdict::kClosed: how = Handshake::kLeft; break;
  }
  observe::WorkerMetrics& metrics = services_.observer.metrics();
  metrics.shaken(shared_->id, how);
  if (verdict == Verdict::kDone || verdict == Verdict::kPlain) return;  // the exchange has a word
  metrics.dropped("tls_handshake");
  if (verdict == Verdict::kTimeout) metrics.limit_hit("handshake_timeout");
  if (verdict != Verdict::kFailed) return;
  services_.log.limited(observe::Severity::kInfo, "tls " + shared_->name,
                        "listener " + shared_->name + ": TLS with " +
                            std::string(client.ip_text().view()) + " failed: " + tls.why());
}

exchange::ClientInfo WorkerListener::client_info(const net::IpPort& client) const {
  exchange::ClientInfo info;
  info.address = client.ip_text();
  info.port = client.port;
  info.local_address = shared_->local_address;
  info.local_port = shared_->local_port;
  info.trusted = is_trusted(client);
  info.trusted_proxies = config_.trusted_proxies;
  info.body_limit = config_.limits.body.count;
  if (request_rate_.is_on()) info.request_rate = &request_rate_;
  info.ends_tunnels = &ends_tunnels_;
  return info;
}

void WorkerListener::unlink_idle(Session& session) {
  if (session.idle_prev_ == nullptr) return;
  *session.idle_prev_ = session.idle_next_;
  if (session.idle_next_ != nullptr) {
    session.idle_next_->idle_prev_ = session.idle_prev_;
  } else {
    idle_tail_ = session.idle_prev_;
  }
  session.idle_prev_ = nullptr;
  session.idle_next_ = nullptr;
}

void WorkerListener::on_session_state(Session& session, ConnectionState from, ConnectionState to) {
  observe::WorkerMetrics& metrics = services_.observer.metrics();
  metrics.connections(shared_->id, from, -1);
  metrics.connections(shared_->id, to, 1);
  unlink_idle(session);
  if (to != ConnectionState::kIdle) return;
  session.idle_prev_ = idle_tail_;
  *idle_tail_ = &session;
  idle_tail_ = &session.idle_next_;
  if (hand_over_ != nullptr) hand_over_->on_idle();
}

void WorkerListener::on_session_over(Session& session) {
  services_.observer.metrics().connections(shared_->id, session.state_, -1);
  services_.observer.metrics().ended(shared_->id, session.end());
  unlink_idle(session);
  shared_->open.fetch_sub(1, std::memory_order_relaxed);
  budget_.open.fetch_sub(1, std::memory_order_relaxed);
  const uint32_t index = session.index_;
  std::swap(sessions_[index], sessions_.back());
  sessions_[index]->index_ = index;
  loop().defer_delete(std::move(sessions_.back()));
  sessions_.pop_back();
  if (sessions_.empty()) owner_.on_listener_empty();
}

// A request that no exchange was made for still gets its line and its count.
void WorkerListener::on_rejected(const net::IpPort& client, const http::Rejection& rejection) {
  const net::IpText address = client.ip_text();
  observe::Record record;
  record.client = address.view();
  record.method = rejection.method;
  record.target = rejection.target;
  record.protocol = http::name_of(rejection.version);
  record.status = rejection.status;
  record.reason = rejection.reason;
  record.started = wall_now();
  services_.observer.begun();
  services_.observer.finished(record, observe::RouteId{});
  const std::string_view limit = limit_of(rejection.reason);
  if (!limit.empty()) services_.observer.metrics().limit_hit(limit);
}

void WorkerListener::list_burdens(std::vector<Burden>& into) const {
  for (const auto& session : sessions_) {
    const Burden burden = session->burden();
    if (burden.bytes >= kLeastBurden) into.push_back(burden);
  }
}

void WorkerListener::drain(bool draining) {
  draining_ = draining;
  for (const auto& session : sessions_) session->drain(draining);
}

// DESIGN, law 9: each has a slot of its own and a moment in it by chance, so that their clients
// come again one by one, and not all workers' at the same moments.
void WorkerListener::end_tunnels(Duration budget) {
  ends_tunnels_ = true;
  std::vector<exchange::Exchange*> tunnels;
  for (const auto& session : sessions_) session->list_tunnels(tunnels);
  if (tunnels.empty()) return;
  const TimePoint now = loop().now();
  const double slot = 1.0 / static_cast<double>(tunnels.size());
  std::minstd_rand dice(std::random_device{}());
  std::shuffle(tunnels.begin(), tunnels.end(), dice);
  std::uniform_real_distribution<double> moment(0, slot);
  double at = 0;
  for (exchange::Exchange* tunnel : tunnels) {
    const std::chrono::duration<double, std::nano> wait = budget * (at + moment(dice));
    tunnel->end_tunnel(now + std::chrono::duration_cast<Duration>(wait), now + budget);
    at += slot;
  }
}

void WorkerListener::close_idle(std::string_view reason) {
  while (idle_ != nullptr) {
    Session& session = *idle_;
    unlink_idle(session);
    session.close(reason);
  }
}

void WorkerListener::close_all(std::string_view reason) {
  close_idle(reason);
  // close() never ends a session inside the call: on_over() comes on a later tick.
  for (const auto& session : sessions_) session->close(reason);
}

}  // namespace sluice::server
