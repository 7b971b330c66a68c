// What a cluster needs in its tests: origins on loopback, borrowers, and a loop turned by hand.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/observe/metrics.h"
#include "proxy/upstream/cluster.h"
#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

namespace sluice::testing {

// An application: accepts, and answers every request with an empty 200. It may go and come back.
class Origin {
 public:
  explicit Origin(const config::Address& at = loopback(), uint32_t backlog = 128)
      : listener_(net::ListenSocket::open(at, backlog).value()),
        address_(listener_->local()),
        at_(at.is_unix ? at : loopback(address_.ip_port().port)) {}

  // Killed: neither listener nor connections are left.
  void go() { listener_.reset(), sessions.clear(); }
  void come() { listener_ = net::ListenSocket::open(at_, 128).value(); }

  void serve() {
    if (!listener_ || !accepts) return serve_accepted();
    for (Fd fd = accepted(*listener_); fd.is_open(); fd = accepted(*listener_)) {
      sessions.push_back({std::move(fd), {}});
    }
    serve_accepted();
  }
  void serve_accepted() {
    for (Session& session : sessions) {
      session.in += received(session.fd.get());
      const size_t end = session.in.find("\r\n\r\n");
      if (end == std::string::npos || !answers) continue;
      session.in.erase(0, end + 4);
      ++requests;
      constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
      (void)::send(session.fd.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
    }
  }
  const net::SocketAddress& address() const { return address_; }

  struct Session {
    Fd fd;
    std::string in;
  };
  std::vector<Session> sessions;
  int requests = 0;
  bool answers = true;
  bool accepts = true;

 private:
  std::optional<net::ListenSocket> listener_;
  net::SocketAddress address_;
  config::Address at_;
};

// Somebody who wants a stream, and what became of it.
struct Borrower final : upstream::Waiter, http::ClientEvents {
  void acquire(upstream::Cluster& from, const upstream::Wish& wish = {}) {
    auto acquired = from.acquire(*this, wish);
    if (auto* at_once = std::get_if<upstream::Lease>(&acquired)) take(*at_once);
    if (auto* its = std::get_if<std::unique_ptr<upstream::Ticket>>(&acquired)) {
      ticket = std::move(*its);
    }
    if (auto* its = std::get_if<Error>(&acquired)) error = *its;
  }
  void ask() {
    http::RequestHead head;
    head.method = "GET";
    head.target = "/";
    head.authority = "h";
    stream().send_head(head);
    stream().send_end();
    stream().flush();
  }
  void finish() {
    Chain body;
    REQUIRE(stream().read_body(body, 1) == http::BodyRead::kEnd);
    std::exchange(lease->stream, nullptr)->finish();
  }
  void reset() { std::exchange(lease->stream, nullptr)->reset(); }
  bool stream_is_ours() const { return lease && lease->stream != nullptr; }
  http::ClientStream& stream() { return *lease->stream; }
  ~Borrower() {
    if (lease && lease->stream != nullptr) reset();
  }
  bool waits() const { return ticket != nullptr && !lease && !error; }

  void on_lease(const upstream::Lease& its) override { take(its); }
  void on_no_lease(const Error& its, const upstream::Endpoint* endpoint) override {
    error = its;
    failed_at = endpoint;
  }
  void on_readable() override {}
  void on_writable() override {}
  void on_broken(const Error&) override { broken = true; }
  void on_interim(http::ResponseHead&&) override {}
  void on_head(http::ResponseHead&&) override { answered = true; }

  std::optional<upstream::Lease> lease;
  std::optional<Error> error;
  const upstream::Endpoint* failed_at = nullptr;
  bool answered = false;
  bool broken = false;
  std::vector<Borrower*>* diary = nullptr;  // who got a lease, in order
  std::unique_ptr<upstream::Ticket> ticket;

 private:
  void take(const upstream::Lease& its) {
    lease = its;
    lease->stream->set_events(*this);
    if (diary != nullptr) diary->push_back(this);
  }
};

// Stands for the directory: who hears of a change wakes the clusters.
struct Alarm final : upstream::EndpointEvents {
  void on_endpoint_changed(upstream::Endpoint&, upstream::EndpointState, upstream::EndpointState,
                           upstream::EndpointNews) override {
    turnstile->wake_all();
  }
  std::shared_ptr<upstream::Turnstile> turnstile = std::make_shared<upstream::Turnstile>();
};

struct ClusterRig {
  explicit ClusterRig(size_t origin_count = 1) {
    definition.config.name = "app";
    definition.turnstile = alarm.turnstile;
    definition.id = metrics.upstream("app");
    for (size_t i = 0; i < origin_count; ++i) {
      origins.push_back(std::make_unique<Origin>());
      add_endpoint(origins.back()->address());
    }
  }
  void add_endpoint(const net::SocketAddress& address) {
    definition.endpoints.push_back(std::make_shared<upstream::Endpoint>(
        address.text(), address, metrics.endpoint("app", address.text()), &alarm));
  }
  config::Upstream& config() { return definition.config; }
  upstream::Cluster& start() {
    cluster = std::make_unique<upstream::Cluster>(rounds.loop(), worker, definition);
    return *cluster;
  }
  void add_origin(const config::Address& at = loopback(), uint32_t backlog = 128) {
    origins.push_back(std::make_unique<Origin>(at, backlog));
    add_endpoint(origins.back()->address());
  }
  // What the watch of its listener would say.
  void go(size_t i = 0) {
    origins[i]->go();
    endpoint(i).note(upstream::EndpointNews::kListensNot);
  }
  void come(size_t i = 0) {
    origins[i]->come();
    endpoint(i).note(upstream::EndpointNews::kListens);
  }
  upstream::Endpoint& endpoint(size_t i = 0) { return *definition.endpoints[i]; }

  void serve_all() {
    for (const auto& origin : origins) origin->serve();
  }
  bool until(const std::function<bool()>& done) {
    return rounds.until([this, &done] { return serve_all(), done(); });
  }
  void settle() {
    for (int i = 0; i < 10; ++i, rounds.once()) serve_all();
  }
  // A lease, however long it takes.
  void lease(Borrower& borrower, const upstream::Wish& wish = {}) {
    borrower.acquire(*cluster, wish);
    REQUIRE(until([&borrower] { return borrower.lease.has_value(); }));
  }
  // A request and its answer; the connection is given back.
  void serve(Borrower& borrower) {
    borrower.ask();
    REQUIRE(until([&borrower] { return borrower.answered; }));
    borrower.finish();
  }

  Alarm alarm;
  Rounds rounds;
  observe::Metrics metrics{{}};
  observe::WorkerMetrics& worker = metrics.add_worker();
  std::vector<std::unique_ptr<Origin>> origins;
  upstream::Definition definition;
  std::unique_ptr<upstream::Cluster> cluster;
};

}  // namespace sluice::testing
