#include "proxy/exchange/snapshot.h"

#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "proxy/exchange/generation.h"
#include "proxy/upstream/directory.h"
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

struct Rig final : net::Names, upstream::DirectoryEvents {
  // Builds it; if that went well, it comes into force.
  std::shared_ptr<const Snapshot> build(const Snapshot* previous = nullptr) {
    auto built = build_snapshot(std::make_shared<const config::Config>(config), registry, metrics,
                                previous, faults, &directory);
    if (built != nullptr) directory.adopt(built->upstreams, built->config->resolver);
    return built;
  }

  // No name is looked up here.
  std::unique_ptr<net::Lookup> addresses(const std::string&, uint16_t,
                                         net::LookupEvents&) override {
    return nullptr;
  }
  std::unique_ptr<net::Lookup> services(const std::string&, net::LookupEvents&) override {
    return nullptr;
  }
  void on_definition(const upstream::Definition&, std::function<void()>) override {}
  void on_endpoint_named(const std::shared_ptr<upstream::Endpoint>&,
                         const config::Upstream&) override {}
  void on_endpoint_gone(const upstream::Endpoint&) override {}
  void on_endpoint_state(const std::string&, upstream::Endpoint&, upstream::EndpointState,
                         upstream::EndpointState) override {}

  Rounds rounds;
  config::Config config;
  filter::Registry registry;
  observe::Metrics metrics{{}};
  config::Faults faults;
  const std::unique_ptr<observe::ProcessLog> log =
      observe::ProcessLog::open({"/dev/null", observe::Severity::kError}).value();
  upstream::Directory directory{rounds.loop(), *this, metrics, *log, *this};
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

TEST_CASE("snapshot: without a definer the endpoints are nobody's") {
  Rig rig;
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1"})};
  const auto config = std::make_shared<const config::Config>(rig.config);
  const auto first =
      build_snapshot(config, rig.registry, rig.metrics, nullptr, rig.faults, nullptr);
  const auto second =
      build_snapshot(config, rig.registry, rig.metrics, first.get(), rig.faults, nullptr);
  REQUIRE(second);
  CHECK(second->upstreams[0].endpoints[0] != first->upstreams[0].endpoints[0]);
}

TEST_CASE("generation: an upstream gets other endpoints between two snapshots") {
  Rig rig;
  observe::WorkerMetrics& worker = rig.metrics.add_worker();
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1"})};
  const auto generation = next_generation(rig.rounds.loop(), worker, rig.build(), nullptr);
  config::Faults faults;
  redefine(*generation, rig.directory.define(upstream_of("a", {"127.0.0.1", "127.0.0.2"}), faults));
  CHECK(generation->clusters[0]->pool_count() == 2);
  redefine(*generation, rig.directory.define(upstream_of("b", {"127.0.0.3"}), faults));
  CHECK(generation->clusters[0]->pool_count() == 2);
  rig.rounds.settle();
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
  observe::WorkerMetrics& worker = rig.metrics.add_worker();
  rig.config.upstreams = {upstream_of("a", {"127.0.0.1"}), upstream_of("b", {"127.0.0.1"})};
  const auto one = rig.build();
  auto first = next_generation(rig.rounds.loop(), worker, one, nullptr);
  REQUIRE(first->clusters.size() == 2);
  rig.config.upstreams = {upstream_of("c", {"127.0.0.1"}), upstream_of("a", {"127.0.0.1"})};
  rig.config.upstreams[1].max_in_flight = 3;
  const auto two = rig.build(one.get());
  const auto second = next_generation(rig.rounds.loop(), worker, two, first.get());
  CHECK(second->clusters[1] == first->clusters[0]);
  CHECK(second->clusters[1]->config().max_in_flight == 3);
  CHECK(second->clusters[0]->config().name == "c");
  CHECK(second->snapshot == two);
  CHECK(first->clusters[1].use_count() == 1);  // gone with the first generation
  const auto kept = second->clusters[1];
  first.reset();
  CHECK(kept->pool_count() == 1);
  rig.rounds.settle();
}
