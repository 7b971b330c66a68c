// Which idle connection a request may have, how long one is kept, and what its end teaches.
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using upstream::Cluster;
using upstream::EndpointNews;
using upstream::EndpointState;
using upstream::KeepAliveLesson;
using upstream::Wish;

namespace {

struct PoolRig : ClusterRig {
  PoolRig() { config().pool.idle = 10s; }
  // So many idle connections, one after the other with `apart` between them.
  void idle(size_t count, Duration apart = 0s) {
    std::vector<Borrower> borrowers(count);
    for (Borrower& borrower : borrowers) lease(borrower);
    for (Borrower& borrower : borrowers) {
      serve(borrower);
      if (&borrower != &borrowers.back() && apart > 0s) rounds.pass(apart);
    }
    REQUIRE(cluster->pool(0).idle() == count);
  }
  // The application closes this one of its connections; sluice hears of it.
  void close(size_t index) {
    const size_t before = cluster->pool(0).connections();
    origins[0]->sessions[index].fd = Fd();
    REQUIRE(until([&] { return cluster->pool(0).connections() < before; }));
  }
  void conclude() { rounds.pass(KeepAliveLesson::kDelay + 2ms); }
  Duration seen() { return endpoint().seen_keep_alive(); }
  bool is_about(Duration value, Duration wanted) {
    return value >= wanted && value < wanted + 2s;  // a busy machine: real time goes on as well
  }
};

}  // namespace

TEST_CASE("pool: an unsafe request gets a connection just used, or a fresh one") {
  for (const bool unix_socket : {false, true}) {
    CAPTURE(unix_socket);
    const Folder folder;
    ClusterRig rig(0);
    rig.add_origin(unix_socket ? unix_path(folder / "app.sock") : loopback());
    rig.config().pool.idle = 10s;
    rig.config().pool.unsafe_idle = 1s;
    Cluster& cluster = rig.start();
    Wish unsafe;
    unsafe.unsafe = true;
    Borrower first;
    rig.lease(first, unsafe);
    rig.serve(first);
    Borrower soon;
    soon.acquire(cluster, unsafe);
    REQUIRE(soon.lease);
    rig.serve(soon);
    rig.rounds.pass(1s);
    Borrower late;
    late.acquire(cluster, unsafe);
    CHECK(late.lease.has_value() == unix_socket);  // there a stale write fails at once
    Borrower safe;
    safe.acquire(cluster);
    CHECK(safe.lease.has_value() == !unix_socket);
    REQUIRE(rig.until([&] { return late.lease && safe.lease; }));
  }
}

TEST_CASE("pool: an endpoint that goes takes its idle connections with it") {
  for (const EndpointNews news :
       {EndpointNews::kListensNot, EndpointNews::kDrained, EndpointNews::kRemoved}) {
    PoolRig rig;
    Cluster& cluster = rig.start();
    Borrower runs;
    rig.lease(runs);
    rig.idle(2);
    rig.endpoint().note(news);
    Borrower late;
    late.acquire(cluster);
    CHECK(late.waits());  // not by an idle connection either
    rig.settle();
    CHECK(cluster.pool(0).idle() == 0);
    CHECK(cluster.pool(0).connections() == 1);
    rig.serve(runs);  // a lease goes on to its end, and its connection is not kept
    CHECK(cluster.pool(0).connections() == 0);
  }
}

TEST_CASE("pool: a suspect keeps its connections") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(1);
  rig.endpoint().note(EndpointNews::kBroken);
  rig.settle();
  CHECK(cluster.pool(0).idle() == 1);
  Borrower next;
  next.acquire(cluster);
  REQUIRE(next.lease);
  rig.serve(next);
  CHECK(rig.endpoint().state() == EndpointState::kReady);
}

TEST_CASE("pool: the keep-alive that a FIN shows is learned, and stayed below") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(1);
  rig.rounds.pass(4s);
  rig.close(0);
  CHECK(rig.seen() == 0s);  // not before it is known that the listener stays
  rig.conclude();
  CHECK(rig.is_about(rig.seen(), 4s));
  CHECK(cluster.pool(0).idle_limit() == rig.seen() * 4 / 5);
  rig.origins[0]->sessions.clear();
  rig.idle(1);
  rig.rounds.pass(rig.seen() * 4 / 5 - 1s);
  CHECK(cluster.pool(0).idle() == 1);
  rig.rounds.pass(1002ms);
  CHECK(cluster.pool(0).idle() == 0);
}

TEST_CASE("pool: nothing is learned when told not to, or when the configuration is below it") {
  PoolRig rig;
  rig.config().pool.learn = false;
  Cluster& cluster = rig.start();
  rig.idle(1);
  rig.rounds.pass(4s);
  rig.close(0);
  rig.conclude();
  CHECK(rig.seen() == 0s);
  rig.endpoint().set_seen_keep_alive(1s);
  CHECK(cluster.pool(0).idle_limit() == 10s);
  rig.config().pool.learn = true;
  rig.config().pool.idle = 500ms;
  cluster.reconfigure(rig.definition);
  CHECK(cluster.pool(0).idle_limit() == 500ms);
}

TEST_CASE("pool: a restart does not teach") {
  struct Case {
    const char* what;
    std::vector<EndpointNews> news;  // after the FIN
  };
  const std::vector<Case> cases = {
      {"the listener goes", {EndpointNews::kListensNot}},
      {"and comes back", {EndpointNews::kListensNot, EndpointNews::kListens}},
      {"ordered out", {EndpointNews::kDrained}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    PoolRig rig;
    rig.start();
    rig.idle(1);
    rig.rounds.pass(1s);
    rig.close(0);
    for (const EndpointNews news : c.news) rig.endpoint().note(news);
    rig.conclude();
    CHECK(rig.seen() == 0s);
  }
}

TEST_CASE("pool: several closed at once are a burst: suspect, and no lesson") {
  PoolRig rig;
  rig.start();
  rig.idle(3, 500ms);
  rig.rounds.pass(1s);
  for (auto& session : rig.origins[0]->sessions) session.fd = Fd();
  REQUIRE(rig.until([&rig] { return rig.cluster->pool(0).connections() == 0; }));
  CHECK(rig.endpoint().state() == EndpointState::kSuspect);
  rig.conclude();
  CHECK(rig.seen() == 0s);
}

TEST_CASE("pool: the least that was lately seen counts; old lessons are forgotten") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(1);
  rig.rounds.pass(5s);
  rig.close(0);
  rig.conclude();
  REQUIRE(rig.is_about(rig.seen(), 5s));
  rig.origins[0]->sessions.clear();
  rig.idle(1);
  rig.rounds.pass(2s);
  rig.close(0);
  rig.conclude();
  REQUIRE(rig.is_about(rig.seen(), 2s));
  rig.rounds.pass(KeepAliveLesson::kForgotten);
  rig.origins[0]->sessions.clear();
  rig.idle(1);
  rig.rounds.pass(rig.seen() + 2ms);  // its sweep looks
  CHECK(rig.seen() == 0s);
  CHECK(cluster.pool(0).idle_limit() == 10s);
}

TEST_CASE("pool: a connection that outlives what was learned refutes it") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(2, 3s);  // one idle for 3 s when the other begins
  rig.rounds.pass(1s);
  SUBCASE("before it is learned") {
    const size_t younger = 1;
    rig.close(younger);
    rig.conclude();
    CHECK(rig.seen() == 0s);
  }
  SUBCASE("when another worker has learned it") {
    rig.endpoint().set_seen_keep_alive(1s);
    rig.alarm.turnstile->wake_all();
    rig.settle();
    CHECK(rig.seen() == 0s);
    CHECK(cluster.pool(0).idle() == 2);
  }
}

TEST_CASE("pool: a limit that is lowered counts at once") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(1);
  rig.rounds.pass(1500ms);
  SUBCASE("by another worker's lesson") {
    rig.endpoint().set_seen_keep_alive(2500ms);
    rig.alarm.turnstile->wake_all();
  }
  SUBCASE("by a new configuration") {
    rig.config().pool.idle = 2s;
    cluster.reconfigure(rig.definition);
  }
  rig.settle();
  CHECK(cluster.pool(0).idle() == 1);
  rig.rounds.pass(520ms);
  CHECK(cluster.pool(0).idle() == 0);
}

TEST_CASE("pool: fewer spare ones are allowed: the oldest go") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(3);
  rig.config().pool.spare = 1;
  cluster.reconfigure(rig.definition);
  CHECK(cluster.pool(0).idle() == 1);
}

TEST_CASE("pool: of an endpoint that is removed nothing stays but its leases") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  Borrower runs;
  rig.lease(runs);
  rig.idle(2);
  const auto endpoint = rig.definition.endpoints[0];
  rig.definition.endpoints.clear();
  cluster.reconfigure(rig.definition);
  CHECK(cluster.pool_count() == 0);
  CHECK(cluster.retired_count() == 1);
  SUBCASE("and it is gone with the last of them") {
    rig.serve(runs);
    rig.rounds.loop().end_tick();
    CHECK(cluster.retired_count() == 0);
    CHECK(endpoint.use_count() == 2);  // whoever had the lease may still name it
  }
  SUBCASE("unless it is named again before") {
    rig.definition.endpoints.push_back(endpoint);
    cluster.reconfigure(rig.definition);
    CHECK(cluster.retired_count() == 0);
    CHECK(cluster.pool(0).in_flight() == 1);
    rig.serve(runs);
    CHECK(cluster.pool(0).idle() == 1);
  }
}

TEST_CASE("pool: an idle one that is removed leaves no pool behind") {
  PoolRig rig;
  Cluster& cluster = rig.start();
  rig.idle(2);
  rig.definition.endpoints.clear();
  cluster.reconfigure(rig.definition);
  rig.rounds.loop().end_tick();
  CHECK(cluster.retired_count() == 0);
}
