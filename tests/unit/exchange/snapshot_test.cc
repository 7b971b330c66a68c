#include "proxy/exchange/snapshot.h"

#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "proxy/exchange/generation.h"
#include "tests/unit/net/rounds.h"

using namespace sluice;
using namespace sluice::exchange;
using testing::Rounds;

namespace {

config::Upstream upstream_of(std::string name, std::initializer_list<std::string> hosts) {
  config::Upstream made;
  made.name = std::move(name);
  for (const auto& host : hosts) {
    config::EndpointSource source;
    source.address = {host + ":80", false, host, 80};
    made.endpoints.push_back(std::move(source));
  }
  return made;
}

config::Route route_of(std::string path, std::string to) {
  config::Route made;
  made.name = path;
  made.path = std::move(path);
  made.upstream = std::move(to);
  return made;
}

struct Rig {
  std::shared_ptr<const Snapshot> build(const Snapshot* previous = nullptr) {
    return build_snapshot(std::make_shared<const config::Config>(config), registry, metrics,
                          previous, faults);
  }
  config::Config config;
  filter::Registry registry;
  observe::Metrics metrics{{}};
  config::Faults faults;
};

}  // namespace

TEST_CASE("snapshot: routes know their upstreams") {
  Rig rig;
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1"}), upstream_of("b", {"127.0.0.2"})};
  rig.config.routes = {route_of("/b/", "b"), route_of("/", "a")};
  rig.config.routes[1].action = config::Action::kStatic;
  rig.config.routes[1].files.root = "/tmp";
  rig.config.routes[1].files.fallback = "b";
  const auto snapshot = rig.build();
  REQUIRE(snapshot);
  CHECK(snapshot->number == 1);
  CHECK(snapshot->routes[0].upstream == 1);
  CHECK(snapshot->routes[1].fallback == 1);
  CHECK(snapshot->upstreams[1].endpoints[0]->name() == "127.0.0.2:80");
}

TEST_CASE("snapshot: what stays is taken over, what is new is made") {
  Rig rig;
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1", "127.0.0.2"})};
  const auto first = rig.build();
  rig.config.upstreams = {upstream_of("new", {"127.0.0.1"}),
                          upstream_of("a", {"127.0.0.2", "127.0.0.3"})};
  const auto second = rig.build(first.get());
  REQUIRE(second);
  CHECK(second->number == 2);
  const auto& before = first->upstreams[0];
  const auto& after = second->upstreams[1];
  CHECK(after.turnstile == before.turnstile);
  CHECK(after.endpoints[0] == before.endpoints[1]);
  CHECK(after.endpoints[1] != before.endpoints[0]);
  CHECK(second->upstreams[0].endpoints[0] != before.endpoints[0]);  // another upstream's
  CHECK(second->upstreams[0].turnstile != before.turnstile);
}

TEST_CASE("snapshot: an upstream of another protocol begins anew") {
  Rig rig;
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1"})};
  const auto first = rig.build();
  rig.config.upstreams[0].protocol = config::Protocol::kUwsgi;
  const auto second = rig.build(first.get());
  CHECK(second->upstreams[0].endpoints[0] != first->upstreams[0].endpoints[0]);
}

TEST_CASE("snapshot: with a fault there is none, and every fault is named") {
  Rig rig;
  rig.config.upstreams = {upstream_of("a", {"not-an-address", "127.0.0.1", "nor-this"})};
  rig.config.upstreams[0].place = {"x.yaml", 7};
  CHECK(rig.build() == nullptr);
  REQUIRE(rig.faults.lines().size() == 2);
  CHECK(rig.faults.lines()[0].starts_with("x.yaml:7: upstreams.a.endpoints: "));
}

TEST_CASE("generation: clusters are carried over by name and live as long as they are named") {
  Rig rig;
  Rounds rounds;
  observe::WorkerMetrics& worker = rig.metrics.add_worker();
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1"}), upstream_of("b", {"127.0.0.1"})};
  const auto one = rig.build();
  auto first = next_generation(rounds.loop(), worker, one, nullptr);
  REQUIRE(first->clusters.size() == 2);
  rig.config.upstreams = {upstream_of("c", {"127.0.0.1"}), upstream_of("a", {"127.0.0.1"})};
  rig.config.upstreams[1].max_in_flight = 3;
  const auto two = rig.build(one.get());
  const auto second = next_generation(rounds.loop(), worker, two, first.get());
  CHECK(second->clusters[1] == first->clusters[0]);
  CHECK(second->clusters[1]->config().max_in_flight == 3);
  CHECK(second->clusters[0]->config().name == "c");
  CHECK(second->snapshot == two);
  CHECK(first->clusters[1].use_count() == 1);  // gone with the first generation
  const auto kept = second->clusters[1];
  first.reset();
  CHECK(kept->pool_count() == 1);
  rounds.settle();
}
