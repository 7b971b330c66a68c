#include "proxy/upstream/cluster.h"

#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using upstream::Cluster;
using upstream::Wish;

namespace {

// Requests that stay open, and how many each endpoint has.
std::map<std::string, int> spread(ClusterRig& rig, std::vector<Borrower>& borrowers) {
  std::map<std::string, int> count;
  for (Borrower& borrower : borrowers) {
    rig.lease(borrower);
    ++count[borrower.lease->endpoint->name()];
  }
  return count;
}

}  // namespace

TEST_CASE("cluster: the first connection is dialled, the next request gets it at once") {
  ClusterRig rig;
  Cluster& cluster = rig.start();
  Borrower first;
  first.acquire(cluster);
  CHECK(first.waits());  // never from inside the call
  REQUIRE(rig.until([&first] { return first.lease.has_value(); }));
  CHECK(first.lease->fresh);
  CHECK(first.lease->endpoint == &rig.endpoint());
  CHECK(first.lease->connect >= 0s);
  CHECK(first.lease->queued < 0s);
  rig.serve(first);
  CHECK(cluster.pool(0).idle() == 1);
  Borrower second;
  second.acquire(cluster);
  REQUIRE(second.lease);
  CHECK_FALSE(second.lease->fresh);
  CHECK(second.lease->connect < 0s);
  rig.serve(second);
  CHECK(rig.origins[0]->sessions.size() == 1);
  CHECK(rig.origins[0]->requests == 2);
}

TEST_CASE("cluster: a broken-off stream costs its connection") {
  ClusterRig rig;
  Cluster& cluster = rig.start();
  Borrower borrower;
  rig.lease(borrower);
  borrower.ask();
  borrower.reset();
  CHECK(cluster.pool(0).connections() == 0);
  CHECK(cluster.pool(0).in_flight() == 0);
}

TEST_CASE("cluster: a fresh connection for who wants one") {
  ClusterRig rig;
  Cluster& cluster = rig.start();
  Borrower first;
  rig.lease(first);
  rig.serve(first);
  Wish fresh;
  fresh.fresh = true;
  Borrower second;
  second.acquire(cluster, fresh);
  CHECK(second.waits());
  REQUIRE(rig.until([&second] { return second.lease.has_value(); }));
  CHECK(second.lease->fresh);
  CHECK(cluster.pool(0).connections() == 2);
}

TEST_CASE("cluster: round robin goes round") {
  ClusterRig rig(3);
  rig.start();
  std::vector<Borrower> borrowers(6);
  for (const auto& [name, count] : spread(rig, borrowers)) CHECK(count == 2);
}

TEST_CASE("cluster: round robin is even among those that are left") {
  ClusterRig rig(3);
  Cluster& cluster = rig.start();
  std::map<std::string, int> count;
  Wish wish;
  wish.tried = {&rig.endpoint(0)};
  std::vector<Borrower> borrowers(12);
  for (Borrower& borrower : borrowers) {
    borrower.acquire(cluster, wish);
    REQUIRE(rig.until([&borrower] { return borrower.lease.has_value(); }));
    ++count[borrower.lease->endpoint->name()];
  }
  CHECK(count[rig.endpoint(0).name()] == 0);
  CHECK(count[rig.endpoint(1).name()] == 6);
  CHECK(count[rig.endpoint(2).name()] == 6);
}

TEST_CASE("cluster: least request takes the one with the fewest") {
  ClusterRig rig(2);
  rig.config().balance = config::Balance::kLeastRequest;
  rig.start();
  std::vector<Borrower> both(2);
  CHECK(spread(rig, both).size() == 2);
  const std::string freed = both[1].lease->endpoint->name();
  both[1].reset();
  for (int i = 0; i < 3; ++i) {
    Borrower next;
    rig.lease(next);
    CHECK(next.lease->endpoint->name() == freed);
  }
}

TEST_CASE("cluster: endpoints that were tried are not tried again while there are others") {
  ClusterRig rig(2);
  Cluster& cluster = rig.start();
  Wish wish;
  wish.tried = {&rig.endpoint(0)};
  for (int i = 0; i < 3; ++i) {
    Borrower borrower;
    rig.lease(borrower, wish);
    CHECK(borrower.lease->endpoint == &rig.endpoint(1));
  }
  wish.tried.push_back(&rig.endpoint(1));
  Borrower around;
  rig.lease(around, wish);
  rig.config().hold.timeout = 0s;
  cluster.reconfigure(rig.definition);
  Borrower last;
  last.acquire(cluster, wish);
  REQUIRE(last.error);
  CHECK(last.error->code == ErrorCode::kUnreachable);
}

TEST_CASE("cluster: an idle connection the application closed is not lent") {
  ClusterRig rig;
  Cluster& cluster = rig.start();
  Borrower first;
  rig.lease(first);
  rig.serve(first);
  rig.origins[0]->sessions.clear();
  REQUIRE(rig.until([&cluster] { return cluster.pool(0).connections() == 0; }));
  CHECK(cluster.pool(0).idle() == 0);
  Borrower second;
  rig.lease(second);
  CHECK(second.lease->fresh);
}

TEST_CASE("cluster: idle connections are closed when their time is up") {
  ClusterRig rig;
  rig.config().pool.idle = 2s;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(2);
  for (Borrower& borrower : borrowers) rig.lease(borrower);
  rig.serve(borrowers[0]);
  rig.rounds.pass(1s);
  rig.serve(borrowers[1]);
  CHECK(cluster.pool(0).idle() == 2);
  rig.rounds.pass(1100ms);
  CHECK(cluster.pool(0).idle() == 1);
  rig.rounds.pass(1100ms);
  CHECK(cluster.pool(0).connections() == 0);
}

TEST_CASE("cluster: a pool keeps no more spare connections than it may") {
  ClusterRig rig;
  rig.config().pool.spare = 1;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(3);
  for (Borrower& borrower : borrowers) rig.lease(borrower);
  CHECK(cluster.pool(0).connections() == 3);
  for (Borrower& borrower : borrowers) rig.serve(borrower);
  CHECK(cluster.pool(0).connections() == 1);
}

TEST_CASE("cluster: a connection is used as often as it may") {
  ClusterRig rig;
  rig.config().pool.requests = 2;
  rig.start();
  for (int i = 0; i < 4; ++i) {
    Borrower borrower;
    rig.lease(borrower);
    CHECK(borrower.lease->fresh == (i % 2 == 0));
    rig.serve(borrower);
  }
  CHECK(rig.origins[0]->sessions.size() == 2);
}

TEST_CASE("cluster: with no time to idle, every request has a connection of its own") {
  ClusterRig rig;
  rig.config().pool.idle = 0s;
  Cluster& cluster = rig.start();
  for (int i = 0; i < 2; ++i) {
    Borrower borrower;
    rig.lease(borrower);
    rig.serve(borrower);
    CHECK(cluster.pool(0).connections() == 0);
  }
  CHECK(rig.origins[0]->sessions.size() == 2);
}

TEST_CASE("cluster: retries have a budget that requests fill") {
  ClusterRig rig;
  rig.config().retry.budget = 20;
  Cluster& cluster = rig.start();
  int in_a_row = 0;
  while (cluster.take_retry_token()) ++in_a_row;
  CHECK(in_a_row == 10);
  Wish again;
  again.tried = {nullptr};  // a retry is no request: it fills nothing
  for (int i = 0; i < 4; ++i) Borrower().acquire(cluster);
  for (int i = 0; i < 20; ++i) Borrower().acquire(cluster, again);
  CHECK_FALSE(cluster.take_retry_token());
  Borrower().acquire(cluster);
  CHECK(cluster.take_retry_token());
  CHECK_FALSE(cluster.take_retry_token());
}
