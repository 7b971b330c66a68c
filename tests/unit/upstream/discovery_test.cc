#include "proxy/upstream/discovery.h"

#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/upstream/fake_names.h"

using namespace sluice;
using namespace sluice::upstream;
using namespace std::chrono_literals;
using sluice::testing::FakeNames;
using sluice::testing::Rounds;

namespace {

using Texts = std::vector<std::string>;

struct Rig final : DiscoveryEvents {
  explicit Rig(config::EndpointSource::Kind kind = config::EndpointSource::Kind::kDns) {
    source.kind = kind;
    source.name = "app";
    source.port = 80;
    discovery.emplace(rounds.loop(), names, source, settings, *this);
    pass(1ms);
  }
  void pass(Duration time) { rounds.pass(time); }
  Texts found() const {
    Texts out;
    for (const Found& each : discovery->found()) out.push_back(each.name);
    return out;
  }
  void on_found(Discovery&) override { ++changes; }
  void on_trouble(Discovery&, const std::string& why) override { troubles.push_back(why); }
  void on_recovered(Discovery&) override { ++recoveries; }

  Rounds rounds;
  FakeNames names;
  config::EndpointSource source;
  config::Resolver settings;  // ttl 1 s to 60 s, retry 1 s
  std::optional<Discovery> discovery;
  int changes = 0;
  int recoveries = 0;
  Texts troubles;
};

}  // namespace

TEST_CASE("discovery: asks at once, and again when the time to live is over") {
  Rig rig;
  CHECK(rig.discovery->text() == "dns://app:80");
  REQUIRE(rig.names.waiting() == 1);
  rig.names.answer("app", {"10.0.0.2", "10.0.0.1"}, 7s);
  CHECK(rig.found() == Texts{"10.0.0.1:80", "10.0.0.2:80"});
  CHECK(rig.changes == 1);
  rig.pass(6900ms);
  CHECK(rig.names.waiting() == 0);
  rig.pass(200ms);
  CHECK(rig.names.waiting() == 1);
}

TEST_CASE("discovery: the time to live has bounds") {
  Rig rig;
  rig.names.answer("app", {"10.0.0.1"}, 0s);
  rig.pass(900ms);
  CHECK(rig.names.waiting() == 0);
  rig.pass(200ms);
  REQUIRE(rig.names.waiting() == 1);
  rig.names.answer("app", {"10.0.0.1"}, 24h);
  rig.pass(59s);
  CHECK(rig.names.waiting() == 0);
  rig.pass(2s);
  CHECK(rig.names.waiting() == 1);
}

TEST_CASE("discovery: another order is no other set") {
  Rig rig;
  rig.names.answer("app", {"10.0.0.2", "10.0.0.1"}, 1s);
  rig.pass(2s);
  rig.names.answer("app", {"10.0.0.1", "10.0.0.2"}, 1s);
  CHECK(rig.changes == 1);
  rig.pass(2s);
  rig.names.answer("app", {"10.0.0.1"}, 1s);
  CHECK(rig.changes == 2);
  CHECK(rig.found() == Texts{"10.0.0.1:80"});
}

TEST_CASE("discovery: a failure takes nothing away, is told once, and is tried again soon") {
  Rig rig;
  rig.names.answer("app", {"10.0.0.1"}, 1s);
  rig.pass(2s);
  rig.names.fail("app", "there is no such name");
  CHECK(rig.found() == Texts{"10.0.0.1:80"});
  CHECK(rig.troubles == Texts{"there is no such name"});
  rig.pass(700ms);
  CHECK(rig.names.waiting() == 0);
  rig.pass(600ms);
  REQUIRE(rig.names.waiting() == 1);
  rig.names.fail("app", "there is no such name");
  CHECK(rig.troubles.size() == 1);
  rig.pass(1300ms);
  rig.names.answer("app", {}, 1s);  // no address at all: the same
  CHECK(rig.troubles == Texts{"there is no such name", "the name has no address"});
  CHECK(rig.found() == Texts{"10.0.0.1:80"});
  rig.pass(1300ms);
  rig.names.answer("app", {"10.0.0.1"}, 1s);
  CHECK(rig.recoveries == 1);
  CHECK(rig.discovery->trouble().empty());
  CHECK(rig.changes == 1);
}

TEST_CASE("discovery: starts with a name that is not there yet") {
  Rig rig;
  rig.names.fail("app", "there is no such name");
  CHECK(rig.found().empty());
  CHECK(rig.changes == 0);
  rig.pass(1300ms);
  rig.names.answer("app", {"10.0.0.1"}, 1s);
  CHECK(rig.changes == 1);
  CHECK(rig.recoveries == 1);
}

TEST_CASE("discovery: a family that could not be asked keeps what was known of it") {
  Rig rig;
  rig.names.answer("app", {"10.0.0.1"}, 1s, {"fd00::1"});
  CHECK(rig.found() == Texts{"10.0.0.1:80", "[fd00::1]:80"});
  rig.pass(2s);
  rig.names.half("app", {"10.0.0.2"}, 1s);
  CHECK(rig.found() == Texts{"10.0.0.2:80", "[fd00::1]:80"});
  CHECK(rig.troubles.empty());
  rig.pass(2s);
  rig.names.answer("app", {"10.0.0.2"}, 1s);
  CHECK(rig.found() == Texts{"10.0.0.2:80"});
}

TEST_CASE("discovery: services bring ports and weights; priorities become groups") {
  Rig rig(config::EndpointSource::Kind::kSrv);
  CHECK(rig.discovery->text() == "srv://app");
  rig.names.answer_services(
      "app", {{"one", 8001, 10, 30}, {"two", 8002, 10, 0}, {"far", 8003, 77, 5}}, 5s);
  REQUIRE(rig.names.waiting() == 3);
  rig.names.answer("two", {"10.0.0.2"}, 60s);
  rig.names.answer("far", {"10.0.0.3"}, 60s);
  CHECK(rig.changes == 0);
  rig.names.answer("one", {"10.0.0.1", "10.0.0.9"}, 60s);
  CHECK(rig.changes == 1);
  REQUIRE(rig.found() == Texts{"10.0.0.1:8001", "10.0.0.2:8002", "10.0.0.9:8001", "10.0.0.3:8003"});
  const auto& found = rig.discovery->found();
  CHECK(found[0].weight == 30);
  CHECK(found[1].weight == 1);  // RFC 2782: a very small chance
  CHECK(found[0].group == 0);
  CHECK(found[3].group == 1);
  rig.pass(4900ms);
  CHECK(rig.names.waiting() == 0);
  rig.pass(200ms);
  CHECK(rig.names.is_asked("app"));
}

TEST_CASE("discovery: a target that fails keeps its addresses; so does a service that is gone") {
  Rig rig(config::EndpointSource::Kind::kSrv);
  rig.names.answer_services("app", {{"one", 80, 0, 1}, {"two", 80, 0, 1}}, 1s);
  rig.names.answer("one", {"10.0.0.1"}, 1s);
  rig.names.answer("two", {"10.0.0.2"}, 1s);
  rig.pass(2s);
  rig.names.answer_services("app", {{"one", 80, 0, 1}, {"two", 80, 0, 1}}, 1s);
  rig.names.answer("one", {"10.0.0.7"}, 1s);
  rig.names.fail("two", "lost");
  CHECK(rig.found() == Texts{"10.0.0.2:80", "10.0.0.7:80"});
  CHECK(rig.troubles == Texts{"two: lost"});
  rig.pass(2s);
  rig.names.answer_services("app", std::vector<net::Service>{}, 1s);
  CHECK(rig.found() == Texts{"10.0.0.2:80", "10.0.0.7:80"});
  CHECK(rig.troubles.back() == "the service is not offered anywhere");
  rig.pass(2s);
  // Names that nobody can resolve say nothing against those that could be.
  rig.names.answer_services("app", {{"new", 80, 0, 1}}, 1s);
  rig.names.fail("new", "lost");
  CHECK(rig.found() == Texts{"10.0.0.2:80", "10.0.0.7:80"});
}

TEST_CASE("discovery: a large service is asked for a few targets at a time") {
  Rig rig(config::EndpointSource::Kind::kSrv);
  std::vector<net::Service> many;
  for (int i = 0; i < 20; ++i) many.push_back({"t" + std::to_string(i), 80, 0, 1});
  rig.names.answer_services("app", many, 1s);
  CHECK(rig.names.waiting() == 8);
  for (int i = 0; i < 20; ++i) {
    rig.names.answer("t" + std::to_string(i), {"10.0.0." + std::to_string(i + 1)}, 1s);
  }
  CHECK(rig.discovery->found().size() == 20);
}

TEST_CASE("discovery: a reload with other settings asks at once") {
  Rig rig;
  rig.names.answer("app", {"10.0.0.1"}, 60s);
  rig.discovery->apply(rig.settings);
  rig.pass(10ms);
  CHECK(rig.names.waiting() == 0);
  rig.settings.max_ttl = 5s;
  rig.discovery->apply(rig.settings);
  rig.pass(10ms);
  CHECK(rig.names.waiting() == 1);
}

TEST_CASE("discovery: gone while it asks") {
  Rig rig;
  rig.discovery.reset();
  CHECK(rig.names.waiting() == 0);
}
