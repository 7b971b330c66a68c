#include "proxy/server/readiness_judge.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using server::ReadinessJudge;
using upstream::Endpoint;
using upstream::EndpointNews;
using upstream::EndpointState;

namespace {

config::Config config_with(std::vector<std::string> routed, std::vector<std::string> upstreams) {
  config::Config config;
  for (const std::string& name : routed) {
    config::Route route;
    route.upstream = name;
    config.routes.push_back(route);
  }
  for (const std::string& name : upstreams) {
    config::Upstream upstream;
    upstream.name = name;
    config.upstreams.push_back(upstream);
  }
  return config;
}

struct Rig {
  Rig() { readiness.accepting = true; }

  void adopt(const config::Config& next) {
    config = next;
    judge.adopt(config);
  }
  const config::Upstream& named(const std::string& name) {
    for (const auto& upstream : config.upstreams) {
      if (upstream.name == name) return upstream;
    }
    FAIL("no upstream " << name);
    return config.upstreams.front();
  }
  // As the Directory tells it.
  std::shared_ptr<Endpoint> add(const std::string& upstream, const net::SocketAddress& address) {
    auto made = std::make_shared<Endpoint>(address.text(), address, observe::EndpointId{});
    judge.on_endpoint_named(made, named(upstream));
    return made;
  }
  std::shared_ptr<Endpoint> add(const std::string& upstream) {
    return add(upstream, listener.local());
  }
  void tell(const std::string& upstream, Endpoint& endpoint, EndpointNews news) {
    endpoint.note(news);
    judge.on_endpoint_state(upstream, endpoint.state());
  }
  void pass(Duration time) {
    for (Duration done{0}; done < time; done += 100ms) rounds.pass(100ms);
  }
  bool ready() const { return readiness.is_ready(); }
  // Connections that were made to `listener` and not yet taken.
  Fd take() {
    rounds.settle();
    return accepted(listener);
  }

  Rounds rounds;
  std::unique_ptr<observe::ProcessLog> log =
      observe::ProcessLog::open({"/dev/null", observe::Severity::kError}).value();
  net::ListenSocket listener = listening();
  exchange::Readiness readiness;
  config::Config config;
  ReadinessJudge judge{rounds.loop(), *log, readiness};
};

}  // namespace

TEST_CASE("readiness: without upstreams that count there is nothing to wait for") {
  Rig rig;
  auto config = config_with({"a"}, {"a", "unnamed"});
  config.upstreams[0].hold.unhealthy_after = 0s;
  rig.adopt(config);
  CHECK(rig.ready());
}

TEST_CASE("readiness: not before every upstream has answered") {
  Rig rig;
  rig.adopt(config_with({"a", "b"}, {"a", "b"}));
  CHECK_FALSE(rig.ready());
  CHECK(rig.judge.reason() == "a: no endpoint is known yet; b: no endpoint is known yet");
  const auto a1 = rig.add("a");
  const auto a2 = rig.add("a");
  const auto b = rig.add("b");
  CHECK(rig.judge.reason() == "a: no endpoint has answered yet; b: no endpoint has answered yet");
  rig.tell("a", *a2, EndpointNews::kAnswered);
  rig.pass(100ms);
  CHECK(rig.judge.reason() == "b: no endpoint has answered yet");
  rig.tell("b", *b, EndpointNews::kAnswered);
  rig.pass(100ms);
  CHECK(rig.ready());
  CHECK(rig.judge.reason().empty());
}

TEST_CASE("readiness: ready for less than a beat counts") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  rig.judge.on_endpoint_state("a", EndpointState::kReady);
  CHECK(rig.ready());
}

TEST_CASE("readiness: files that fall back on an upstream name it, too") {
  Rig rig;
  auto config = config_with({}, {"a"});
  config::Route route;
  route.action = config::Action::kStatic;
  route.files.fallback = "a";
  config.routes.push_back(route);
  rig.adopt(config);
  CHECK_FALSE(rig.ready());
}

TEST_CASE("readiness: a short absence changes nothing, a long one does, an answer ends it") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto one = rig.add("a");
  const auto two = rig.add("a");
  rig.tell("a", *one, EndpointNews::kAnswered);
  rig.pass(100ms);
  rig.tell("a", *one, EndpointNews::kListensNot);
  rig.pass(30s);
  CHECK(rig.ready());  // the other one is there
  rig.tell("a", *two, EndpointNews::kListensNot);
  rig.pass(9s);
  CHECK(rig.ready());
  rig.pass(1300ms);
  CHECK_FALSE(rig.ready());
  CHECK(rig.judge.reason() == "a: away for 10 s");
  rig.pass(2s);
  CHECK(rig.judge.reason() == "a: away for 12 s");
  rig.tell("a", *one, EndpointNews::kListens);
  rig.pass(100ms);
  CHECK_FALSE(rig.ready());
  rig.tell("a", *one, EndpointNews::kAnswered);
  rig.pass(100ms);
  CHECK(rig.ready());
}

TEST_CASE("readiness: an endpoint that is back and quiet is back") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto one = rig.add("a");
  rig.tell("a", *one, EndpointNews::kAnswered);
  rig.pass(100ms);
  rig.tell("a", *one, EndpointNews::kListensNot);
  rig.pass(9s);
  rig.tell("a", *one, EndpointNews::kListens);
  rig.rounds.pass(100ms);
  // Endpoints know the real clock only; what they learned "a second ago" is behind them here.
  rig.pass(5s);
  rig.tell("a", *one, EndpointNews::kListensNot);
  rig.pass(5s);
  CHECK(rig.ready());
}

TEST_CASE("readiness: nobody is asked unless somebody asks us, and then one at a time") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto endpoint = rig.add("a");
  rig.pass(2s);
  CHECK_FALSE(rig.take().is_open());
  CHECK_FALSE(rig.readiness.ask());
  rig.pass(100ms);
  const Fd session = rig.take();
  REQUIRE(session.is_open());
  CHECK(received(session.get()) ==
        "HEAD / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sluice-readiness\r\n"
        "Connection: close\r\n\r\n");
  rig.readiness.ask();
  rig.pass(5s);
  CHECK_FALSE(rig.take().is_open());
  // Any answer will do: what it says is the application's affair.
  say(session.get(), "HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\n");
  REQUIRE(rig.rounds.until([&rig] { return rig.ready(); }));
  CHECK(endpoint->state() == EndpointState::kReady);
  rig.readiness.ask();
  rig.pass(5s);
  CHECK_FALSE(rig.take().is_open());
}

TEST_CASE("readiness: a question that failed is put again, and for a minute unasked") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto endpoint = rig.add("a");
  rig.readiness.ask();
  rig.pass(100ms);
  rig.take().reset();  // closed without an answer
  rig.rounds.settle();
  rig.pass(300ms);
  CHECK_FALSE(rig.take().is_open());
  rig.pass(400ms);
  Fd second = rig.take();
  CHECK(second.is_open());
  rig.pass(31s);                            // it hangs, and is given up
  CHECK(has_ended(second.get()) == false);  // our request is there
  received(second.get());
  second.reset();
  CHECK(rig.take().is_open());
  rig.pass(62s);
  while (rig.take().is_open()) rig.rounds.settle();
  rig.pass(2s);
  CHECK_FALSE(rig.take().is_open());
  CHECK_FALSE(rig.ready());
}

TEST_CASE("readiness: who is away is not asked, and is when it is back") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto endpoint = rig.add("a");
  rig.tell("a", *endpoint, EndpointNews::kListensNot);
  rig.readiness.ask();
  rig.pass(3s);
  CHECK_FALSE(rig.take().is_open());
  rig.tell("a", *endpoint, EndpointNews::kListens);
  rig.pass(100ms);
  CHECK(rig.take().is_open());
}

TEST_CASE("readiness: a refused question is news of the endpoint") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto endpoint = rig.add("a", listening().local());
  rig.readiness.ask();
  rig.pass(100ms);
  CHECK(rig.rounds.until([&] { return endpoint->state() == EndpointState::kHolding; }));
}

TEST_CASE("readiness: checks that were asked for answer instead; a connect proves nothing") {
  Rig rig;
  auto config = config_with({"a", "b"}, {"a", "b"});
  config.upstreams[0].health.kind = config::HealthCheck::Kind::kRequest;
  config.upstreams[1].health.kind = config::HealthCheck::Kind::kTcp;
  rig.adopt(config);
  const auto a = rig.add("a", listening().local());
  const auto b = rig.add("b");
  rig.tell("a", *a, EndpointNews::kChecksWell);
  rig.tell("b", *b, EndpointNews::kChecksWell);
  rig.judge.on_endpoint_state("b", EndpointState::kReady);
  rig.pass(200ms);
  CHECK(rig.judge.reason() == "b: no endpoint has answered yet");
  rig.readiness.ask();
  rig.pass(100ms);
  const Fd session = rig.take();
  REQUIRE(session.is_open());
  say(session.get(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(rig.rounds.until([&rig] { return rig.ready(); }));
}

TEST_CASE("readiness: an upstream that a reload brings does not take readiness away") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  rig.add("a")->note(EndpointNews::kAnswered);
  rig.pass(100ms);
  REQUIRE(rig.ready());
  rig.adopt(config_with({"a", "b"}, {"a", "b"}));
  const auto b = rig.add("b");
  rig.pass(1s);
  CHECK(rig.ready());
  rig.tell("b", *b, EndpointNews::kListensNot);
  rig.pass(11s);
  CHECK_FALSE(rig.ready());  // the rule of long absences is for all
  rig.adopt(config_with({"a"}, {"a", "b"}));
  CHECK(rig.ready());
}

TEST_CASE("readiness: an endpoint that is gone is forgotten") {
  Rig rig;
  rig.adopt(config_with({"a"}, {"a"}));
  const auto one = rig.add("a");
  rig.tell("a", *one, EndpointNews::kAnswered);
  rig.pass(100ms);
  rig.judge.on_endpoint_gone(*one);
  rig.pass(9s);
  CHECK(rig.ready());
  rig.pass(2s);
  CHECK_FALSE(rig.ready());
}
