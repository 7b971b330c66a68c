#include "proxy/upstream/prober.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/upstream/lookout.h"
#include "tests/unit/upstream/lookout_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using config::HealthCheck;
using upstream::EndpointNews;
using upstream::EndpointState;
using upstream::Prober;

namespace {

// An application that says `answer` to whatever comes, once for each connection.
struct App {
  void serve() {
    for (Fd fd = accepted(*listener); fd.is_open(); fd = accepted(*listener)) {
      sessions.push_back(std::move(fd));
      ++connections;
    }
    if (!answers) return;
    for (auto at = sessions.begin(); at != sessions.end();) {
      const std::string got = received(at->get());
      if (got.empty() && !has_ended(at->get())) {
        ++at;
        continue;
      }
      if (!got.empty()) {
        asked.push_back(got);
        (void)::send(at->get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
      at = sessions.erase(at);
    }
  }

  std::unique_ptr<net::ListenSocket> listener = std::make_unique<net::ListenSocket>(listening());
  const net::SocketAddress address = listener->local();
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  bool answers = true;
  int connections = 0;
  std::vector<std::string> asked;
  std::vector<Fd> sessions;
};

config::Upstream checked(HealthCheck::Kind kind = HealthCheck::Kind::kRequest) {
  config::Upstream upstream;
  upstream.name = "app";
  upstream.health.kind = kind;
  upstream.health.path = "/health?x=1";
  upstream.health.interval = 2ms;
  upstream.health.fast_interval = 1ms;
  upstream.health.timeout = 20s;
  return upstream;
}

struct Rig {
  void watch(const config::Upstream& upstream) { prober.watch(endpoint, upstream); }
  bool until(const std::function<bool()>& done) {
    return rounds.until([&] {
      if (app.listener != nullptr) app.serve();
      return done();
    });
  }
  bool becomes(EndpointState state) {
    return until([&] { return endpoint->state() == state; });
  }
  double counted(const std::string& result) {
    const std::string text = metrics.render();
    const std::string line =
        "sluice_upstream_checks_total{upstream=\"app\",endpoint=\"e\",result=\"" + result + "\"} ";
    const size_t at = text.find(line);
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size()));
  }

  Rounds rounds;
  App app;
  observe::Metrics metrics{observe::MetricsOptions{}};
  std::shared_ptr<upstream::Endpoint> endpoint =
      endpoint_at(app.address, nullptr, metrics.endpoint("app", "e"));
  Prober prober{rounds.loop(), metrics};
};

}  // namespace

TEST_CASE("prober: the first check starts at once, in the words that were asked for") {
  Rig rig;
  auto upstream = checked();
  upstream.health.host = "example.com";
  upstream.health.interval = upstream.health.fast_interval = 1h;
  rig.watch(upstream);
  REQUIRE(rig.becomes(EndpointState::kReady));
  REQUIRE(rig.app.asked.size() == 1);
  CHECK(rig.app.asked[0] ==
        "GET /health?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: sluice-health\r\n"
        "Connection: close\r\n\r\n");
  CHECK(rig.counted("success") == 1);
  CHECK(rig.counted("failure") == 0);
}

TEST_CASE("prober: uwsgi is asked in uwsgi") {
  Rig rig;
  auto upstream = checked();
  upstream.protocol = config::Protocol::kUwsgi;
  upstream.health.method = "HEAD";
  rig.app.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
  rig.watch(upstream);
  REQUIRE(rig.becomes(EndpointState::kReady));
  const std::string& asked = rig.app.asked.front();
  const auto has = [&asked](std::string_view name, std::string_view value) {
    std::string pair;
    for (const std::string_view word : {name, value}) {
      pair += static_cast<char>(word.size());
      pair += '\0';
      pair += word;
    }
    return asked.find(pair) != std::string::npos;
  };
  CHECK(has("REQUEST_METHOD", "HEAD"));
  CHECK(has("PATH_INFO", "/health"));
  CHECK(has("QUERY_STRING", "x=1"));
  CHECK(has("HTTP_HOST", "localhost"));
  CHECK(has("HTTP_USER_AGENT", "sluice-health"));
}

TEST_CASE("prober: rise and fall count in a row") {
  Rig rig;
  auto upstream = checked();
  upstream.health.rise = 3;
  upstream.health.fall = 2;
  rig.watch(upstream);
  REQUIRE(rig.until([&] { return rig.counted("success") >= 2; }));
  CHECK(rig.endpoint->state() == EndpointState::kStarting);
  REQUIRE(rig.becomes(EndpointState::kReady));
  CHECK(rig.counted("success") == 3);
  rig.app.answer = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
  REQUIRE(rig.until([&] { return rig.counted("failure") == 1; }));
  CHECK(rig.endpoint->state() == EndpointState::kReady);
  REQUIRE(rig.becomes(EndpointState::kSuspect));
  CHECK(rig.counted("failure") == 2);
}

TEST_CASE("prober: what is well is the configuration's to say") {
  struct Case {
    std::vector<std::pair<int, int>> status;
    std::string body;
    std::string answer;
    bool well;
  };
  const std::string long_body(70'000, 'x');
  const auto with = [](int status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  const Case cases[] = {
      {{{200, 399}}, "", with(399, ""), true},
      {{{200, 399}}, "", with(400, ""), false},
      {{{200, 200}, {404, 404}}, "", with(404, ""), true},
      {{{200, 200}, {404, 404}}, "", with(302, ""), false},
      {{{200, 200}}, "fine", with(200, "all is fine here"), true},
      {{{200, 200}}, "fine", with(200, "all is well"), false},
      {{{200, 200}}, "fine", with(200, long_body + "fine"), false},
      {{{200, 200}}, "fine", with(200, "fine" + long_body), true},
      {{{200, 200}}, "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntorn", false},
      {{{200, 200}}, "", "not HTTP at all\r\n\r\n", false},
      {{{200, 200}},
       "ab",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
       true},
  };
  for (const Case& one : cases) {
    CAPTURE(one.answer.substr(0, 60));
    Rig rig;
    auto upstream = checked();
    upstream.health.status = one.status;
    upstream.health.body = one.body;
    upstream.health.fall = 1;
    rig.app.answer = one.answer;
    rig.watch(upstream);
    CHECK(rig.becomes(one.well ? EndpointState::kReady : EndpointState::kSuspect));
  }
}

TEST_CASE("prober: refused is heard at once, and back is heard") {
  Rig rig;
  auto upstream = checked();
  upstream.health.fall = 100;
  rig.watch(upstream);
  REQUIRE(rig.becomes(EndpointState::kReady));
  rig.app.listener.reset();
  rig.app.sessions.clear();
  REQUIRE(rig.becomes(EndpointState::kHolding));
  const auto port = rig.app.address.ip_port().port;
  rig.app.listener =
      std::make_unique<net::ListenSocket>(net::ListenSocket::open(loopback(port), 5).value());
  CHECK(rig.becomes(EndpointState::kReady));
}

TEST_CASE("prober: no answer in time is a failure") {
  Rig rig;
  auto upstream = checked();
  upstream.health.timeout = 5ms;
  upstream.health.fall = 2;
  rig.app.answers = false;
  rig.watch(upstream);
  REQUIRE(rig.becomes(EndpointState::kSuspect));
  CHECK(rig.counted("failure") == 2);
}

TEST_CASE("prober: a TCP check connects and says nothing") {
  Rig rig;
  auto upstream = checked(HealthCheck::Kind::kTcp);
  upstream.health.interval = upstream.health.fast_interval = 1h;
  rig.watch(upstream);
  REQUIRE(rig.becomes(EndpointState::kReady));
  REQUIRE(rig.until([&] { return rig.app.connections == 1 && rig.app.sessions.empty(); }));
  CHECK(rig.app.asked.empty());
}

TEST_CASE("prober: an answer that is older than the endpoint's going brings nobody back") {
  Rig rig;
  auto upstream = checked();
  upstream.health.interval = upstream.health.fast_interval = 1h;
  rig.app.answers = false;
  rig.watch(upstream);
  REQUIRE(rig.until([&] { return rig.app.connections == 1; }));
  rig.endpoint->note(EndpointNews::kListensNot);
  rig.app.answers = true;
  REQUIRE(rig.until([&] { return rig.counted("success") == 1; }));
  CHECK(rig.endpoint->state() == EndpointState::kHolding);
}

TEST_CASE("prober: sixteen checks at a time, and every endpoint has its turn") {
  Rig rig;
  rig.app.answers = false;
  auto upstream = checked();
  upstream.health.interval = upstream.health.fast_interval = 1h;
  std::vector<std::shared_ptr<upstream::Endpoint>> all;
  for (int i = 0; i < 40; ++i) {
    all.push_back(endpoint_at(rig.app.address));
    rig.prober.watch(all.back(), upstream);
  }
  REQUIRE(rig.until([&] { return rig.app.connections == 16; }));
  rig.rounds.settle();
  rig.app.serve();
  CHECK(rig.app.connections == 16);
  CHECK(rig.prober.running() == 16);
  // One that waits and one that runs go: the next takes its place.
  rig.prober.unwatch(*all[39]);
  rig.prober.unwatch(*all[0]);
  rig.app.answers = true;
  REQUIRE(rig.until([&] {
    return std::all_of(all.begin() + 1, all.end() - 1, [](const auto& endpoint) {
      return endpoint->state() == EndpointState::kReady;
    });
  }));
  CHECK(all[0]->state() == EndpointState::kStarting);
  CHECK(all[39]->state() == EndpointState::kStarting);
  CHECK(rig.app.connections == 39);
}

TEST_CASE("prober: who is drained is not asked, nor who has no checks any more") {
  Rig rig;
  rig.endpoint->note(EndpointNews::kDrained);
  rig.watch(checked());
  rig.rounds.settle();
  rig.app.serve();
  CHECK(rig.app.connections == 0);
  rig.watch(config::Upstream{});
  CHECK(rig.prober.size() == 0);
}

TEST_CASE("lookout: down at first means held until the first check was well") {
  Rounds rounds;
  App app;
  observe::Metrics metrics{observe::MetricsOptions{}};
  upstream::Lookout lookout(rounds.loop(), metrics);
  StateLog log;
  const auto endpoint = endpoint_at(app.address, &log);
  auto upstream = checked();
  upstream.health.up_at_first = false;
  app.answer = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n";
  lookout.watch(endpoint, upstream);
  CHECK(endpoint->state() == EndpointState::kHolding);
  const auto serve_until = [&](const std::function<bool()>& done) {
    return rounds.until([&] {
      app.serve();
      return done();
    });
  };
  // Its listener is there all the time.
  REQUIRE(serve_until([&] { return app.connections >= 10; }));
  CHECK(endpoint->state() == EndpointState::kHolding);
  app.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  REQUIRE(serve_until([&] { return endpoint->state() == EndpointState::kReady; }));
  CHECK(log.states == std::vector<EndpointState>{EndpointState::kHolding, EndpointState::kReady});
  // A reload says the same again, to one whose listener was away a moment ago.
  endpoint->note(EndpointNews::kRefused);
  endpoint->note(EndpointNews::kListens);
  lookout.watch(endpoint, upstream);
  CHECK(endpoint->state() == EndpointState::kStarting);
  lookout.unwatch(*endpoint);
}
