// Requests of an application that is away: who waits, who is told what, and how they are let go.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using upstream::Cluster;
using upstream::EndpointNews;
using upstream::EndpointState;
using upstream::Wish;

namespace {

// An application that has gone, which nobody has noticed yet.
struct AwayRig : ClusterRig {
  explicit AwayRig(size_t count = 1) : ClusterRig(count) {
    for (auto& origin : origins) origin->go();
  }
};

uint64_t never_sent(ClusterRig& rig) {
  const std::string text = rig.metrics.render();
  const std::string name = "sluice_upstream_retries_total{upstream=\"app\",proof=\"never_sent\"} ";
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + name.size()));
}

}  // namespace

TEST_CASE("hold: a refused request waits, and is served when the application is there") {
  for (const bool unix_socket : {false, true}) {
    CAPTURE(unix_socket);
    const Folder folder;
    ClusterRig rig(0);
    rig.add_origin(unix_socket ? unix_path(folder / "app.sock") : loopback());
    rig.origins[0]->go();
    Cluster& cluster = rig.start();
    Borrower borrower;
    borrower.acquire(cluster);
    REQUIRE(rig.until([&cluster] { return cluster.waiting() == 1; }));
    CHECK(rig.endpoint().state() == EndpointState::kHolding);
    CHECK(cluster.is_away());
    CHECK(cluster.pool(0).in_flight() == 0);
    rig.come();
    REQUIRE(rig.until([&borrower] { return borrower.lease.has_value(); }));
    CHECK(borrower.lease->queued >= 0s);
    CHECK(borrower.lease->fresh);
    CHECK(cluster.waiting() == 0);
    rig.serve(borrower);
    CHECK(rig.endpoint().state() == EndpointState::kReady);
  }
}

TEST_CASE("hold: while it is known to be away nothing is dialled") {
  ClusterRig rig;
  Cluster& cluster = rig.start();
  rig.endpoint().note(EndpointNews::kListensNot);  // it does listen: a dial would be seen
  Borrower borrower;
  borrower.acquire(cluster);
  rig.settle();
  CHECK(borrower.waits());
  CHECK(rig.origins[0]->sessions.empty());
  rig.endpoint().note(EndpointNews::kListens);
  REQUIRE(rig.until([&borrower] { return borrower.lease.has_value(); }));
}

TEST_CASE("hold: it ends with the time to be held, and says what was waited for") {
  AwayRig rig;
  rig.config().hold.timeout = 20s;
  Cluster& cluster = rig.start();
  Borrower borrower;
  borrower.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 1; }));
  rig.rounds.pass(10s);
  rig.endpoint().note(EndpointNews::kListens);  // wrong: the dial is refused again
  rig.settle();
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 1; }));
  rig.rounds.pass(9900ms);
  CHECK(borrower.waits());
  rig.rounds.pass(200ms);  // of the first arrival, not of the last return
  REQUIRE(borrower.error);
  CHECK(borrower.error->code == ErrorCode::kUnreachable);
  CHECK(borrower.error->detail.find("refused") != std::string::npos);
  CHECK(borrower.failed_at == nullptr);
  CHECK(cluster.waiting() == 0);
}

TEST_CASE("hold: switched off, the dial's error is told at once, however often it is away") {
  for (const bool by_timeout : {true, false}) {
    AwayRig rig;
    if (by_timeout) {
      rig.config().hold.timeout = 0s;
    } else {
      rig.config().hold.requests = 0;
    }
    Cluster& cluster = rig.start();
    for (int i = 0; i < 3; ++i) {
      Borrower borrower;
      borrower.acquire(cluster);
      REQUIRE(rig.until([&borrower] { return borrower.error.has_value(); }));
      CHECK(borrower.error->code == ErrorCode::kRefused);
      CHECK(borrower.failed_at == &rig.endpoint());
    }
    rig.origins[0]->come();  // and nobody said so: the next request finds out
    Borrower borrower;
    rig.lease(borrower);
    rig.serve(borrower);
  }
}

TEST_CASE("hold: switched off, every endpoint is dialled once") {
  AwayRig rig(3);
  rig.config().hold.timeout = 0s;
  Cluster& cluster = rig.start();
  for (int i = 0; i < 2; ++i) {
    Borrower borrower;
    borrower.acquire(cluster);
    REQUIRE(rig.until([&borrower] { return borrower.error.has_value(); }));
    CHECK(borrower.error->code == ErrorCode::kRefused);
  }
  CHECK(never_sent(rig) == 4);
}

TEST_CASE("hold: another endpoint is dialled before anybody waits") {
  ClusterRig rig(2);
  Cluster& cluster = rig.start();
  rig.origins[0]->go();
  std::vector<Borrower> borrowers(4);
  for (Borrower& borrower : borrowers) {
    rig.lease(borrower);
    CHECK(borrower.lease->endpoint == &rig.endpoint(1));
    CHECK(borrower.lease->queued < 0s);
  }
  CHECK(never_sent(rig) == 1);  // the first one found out, for all
  CHECK(rig.endpoint(0).state() == EndpointState::kHolding);
  CHECK(cluster.waiting() == 0);
}

TEST_CASE("hold: a path where no socket is counts as away") {
  const Folder folder;
  ClusterRig rig(0);
  rig.add_endpoint(net::SocketAddress::from(unix_path(folder / "none.sock")).value());
  Cluster& cluster = rig.start();
  Borrower borrower;
  borrower.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 1; }));
  CHECK(rig.endpoint().state() == EndpointState::kHolding);
}

TEST_CASE("hold: first come, first served, also for those whose dials failed") {
  AwayRig rig;
  rig.config().hold.ramp = 1;
  Cluster& cluster = rig.start();
  std::vector<Borrower*> order;
  std::vector<Borrower> borrowers(6);
  for (Borrower& borrower : borrowers) {
    borrower.diary = &order;
    borrower.acquire(cluster);
    if (&borrower == &borrowers[2]) {  // the first three dial, the others are in the queue before
      REQUIRE(cluster.waiting() == 0);
      rig.endpoint().note(EndpointNews::kListensNot);
    }
  }
  CHECK(cluster.waiting() == 3);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 6; }));
  rig.come();
  for (size_t i = 0; i < borrowers.size(); ++i) {
    REQUIRE(rig.until([&order, i] { return order.size() > i; }));
    CHECK(order[i] == &borrowers[i]);
    rig.serve(borrowers[i]);
  }
}

TEST_CASE("hold: nobody overtakes those who wait") {
  AwayRig rig;
  Cluster& cluster = rig.start();
  Borrower first;
  first.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 1; }));
  rig.origins[0]->come();
  rig.endpoint().note(EndpointNews::kListens);  // nobody has been told yet
  Borrower second;
  second.acquire(cluster);
  CHECK(cluster.waiting() == 2);
  std::vector<Borrower*> order;
  first.diary = second.diary = &order;
  REQUIRE(rig.until([&order] { return order.size() == 2; }));
  CHECK(order[0] == &first);
}

TEST_CASE("hold: a full queue refuses at once, also those whose dials failed") {
  AwayRig rig;
  rig.config().hold.requests = 2;
  Cluster& cluster = rig.start();
  std::vector<Borrower> dialling(3);
  for (Borrower& borrower : dialling) borrower.acquire(cluster);
  CHECK(cluster.waiting() == 0);
  REQUIRE(rig.until([&dialling] { return dialling[2].error.has_value(); }));
  CHECK(dialling[2].error->code == ErrorCode::kOverloaded);
  CHECK(dialling[2].failed_at == nullptr);
  CHECK(cluster.waiting() == 2);
  Borrower late;
  late.acquire(cluster);
  REQUIRE(late.error);
  CHECK(late.error->code == ErrorCode::kOverloaded);
}

TEST_CASE("hold: who leaves is never dialled") {
  AwayRig rig;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(3);
  for (Borrower& borrower : borrowers) borrower.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 3; }));
  borrowers[0].ticket.reset();
  borrowers[1].ticket.reset();
  CHECK(cluster.waiting() == 1);
  rig.come();
  REQUIRE(rig.until([&borrowers] { return borrowers[2].lease.has_value(); }));
  rig.settle();
  CHECK(rig.origins[0]->sessions.size() == 1);
}

TEST_CASE("hold: the ramp lets so many in, and one more for each answer") {
  AwayRig rig;
  rig.config().hold.ramp = 2;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(12);
  for (Borrower& borrower : borrowers) borrower.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 12; }));
  rig.come();
  const auto leased = [&borrowers] {
    size_t count = 0;
    for (const Borrower& borrower : borrowers) count += borrower.lease.has_value() ? 1 : 0;
    return count;
  };
  size_t served = 0;
  for (const size_t at_once : {2U, 4U, 6U}) {  // 2, twice as many, and the rest
    REQUIRE(rig.until([&] { return leased() == served + at_once; }));
    rig.settle();
    CHECK(leased() == served + at_once);
    CHECK(cluster.pool(0).in_flight() == at_once);
    for (; served < leased(); ++served) {
      borrowers[served].ask();
      REQUIRE(rig.until([&] { return borrowers[served].answered; }));
    }
    for (Borrower& borrower : borrowers) {
      if (borrower.answered && borrower.stream_is_ours()) borrower.finish();
    }
  }
  rig.settle();
  // Over: nobody waits, and it has answered.
  CHECK_FALSE(cluster.pool(0).is_limited());
  std::vector<Borrower> many(20);
  for (Borrower& borrower : many) borrower.acquire(cluster);
  CHECK(cluster.waiting() == 0);
}

TEST_CASE("hold: what ran before the return takes no place of the ramp") {
  ClusterRig rig;
  rig.config().hold.ramp = 1;
  Cluster& cluster = rig.start();
  std::vector<Borrower> before(2);
  for (Borrower& borrower : before) rig.lease(borrower);
  rig.endpoint().note(EndpointNews::kListensNot);
  rig.settle();
  std::vector<Borrower> after(2);
  for (Borrower& borrower : after) borrower.acquire(cluster);
  rig.endpoint().note(EndpointNews::kListens);
  REQUIRE(rig.until([&after] { return after[0].lease.has_value(); }));
  before[0].reset();
  rig.settle();
  CHECK(after[1].waits());
  rig.serve(after[0]);
  CHECK(rig.until([&after] { return after[1].lease.has_value(); }));
}

TEST_CASE("hold: an endpoint that went and came between two looks is taken for a new one") {
  ClusterRig rig;
  rig.config().hold.ramp = 1;
  rig.config().pool.idle = 10s;
  Cluster& cluster = rig.start();
  Borrower first;
  rig.lease(first);
  rig.serve(first);
  rig.settle();
  CHECK(cluster.pool(0).idle() == 1);
  rig.endpoint().note(EndpointNews::kListensNot);
  rig.endpoint().note(EndpointNews::kListens);
  rig.settle();
  CHECK(cluster.pool(0).idle() == 0);
  CHECK(cluster.pool(0).is_limited());
}

TEST_CASE("hold: one that cannot be served does not stand in the way") {
  ClusterRig rig(2);
  rig.config().max_in_flight = 1;
  Cluster& cluster = rig.start();
  std::vector<Borrower> holders(2);
  for (Borrower& borrower : holders) rig.lease(borrower);
  Wish picky;
  picky.tried = {holders[0].lease->endpoint};
  Borrower waits;
  Borrower behind;
  waits.acquire(cluster, picky);
  behind.acquire(cluster);
  holders[0].reset();
  REQUIRE(rig.until([&behind] { return behind.lease.has_value(); }));
  CHECK(waits.waits());
  holders[1].reset();
  CHECK(rig.until([&waits] { return waits.lease.has_value(); }));
}

TEST_CASE("hold: more than a turn's work is done over several") {
  AwayRig rig;
  rig.config().hold.ramp = 0;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(150);
  for (Borrower& borrower : borrowers) borrower.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 150; }));
  rig.origins[0]->come();
  rig.endpoint().note(EndpointNews::kListens);
  rig.rounds.loop().run_leftovers();
  CHECK(cluster.waiting() == 150 - 64);
  REQUIRE(rig.until([&borrowers] { return borrowers[149].lease.has_value(); }));
  CHECK(cluster.waiting() == 0);
}

TEST_CASE("hold: a full backlog is no failure, and its requests are served in turn") {
  const Folder folder;
  ClusterRig rig(0);
  rig.add_origin(unix_path(folder / "app.sock"), 0);
  rig.origins[0]->accepts = false;
  Cluster& cluster = rig.start();
  std::vector<Borrower*> order;
  std::vector<Borrower> borrowers(5);
  for (Borrower& borrower : borrowers) {
    borrower.diary = &order;
    borrower.acquire(cluster);
  }
  rig.settle();
  CHECK(order.size() == 1);  // a backlog of 0 has room for one
  CHECK(cluster.waiting() == 4);
  CHECK(rig.endpoint().state() == EndpointState::kStarting);
  rig.rounds.pass(5ms);
  rig.settle();
  CHECK(order.size() == 1);
  rig.origins[0]->accepts = true;
  REQUIRE(rig.until([&order] { return order.size() == 5; }));
  for (size_t i = 0; i < order.size(); ++i) CHECK(order[i] == &borrowers[i]);
  CHECK(cluster.waiting() == 0);
  CHECK_FALSE(rig.endpoint().state() == EndpointState::kHolding);
  rig.settle();
  CHECK_FALSE(cluster.pool(0).is_limited());
}

TEST_CASE("hold: a full backlog with nothing held is told") {
  const Folder folder;
  ClusterRig rig(0);
  rig.add_origin(unix_path(folder / "app.sock"), 0);
  rig.origins[0]->accepts = false;
  rig.config().hold.timeout = 0s;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(3);
  for (Borrower& borrower : borrowers) borrower.acquire(cluster);
  REQUIRE(rig.until([&borrowers] { return borrowers[2].error.has_value(); }));
  CHECK(borrowers[2].error->code == ErrorCode::kWouldBlock);
}

TEST_CASE("hold: a backlog that the watch found full is not dialled; an idle connection is used") {
  ClusterRig rig;
  Cluster& cluster = rig.start();
  Borrower first;
  rig.lease(first);
  rig.serve(first);
  rig.endpoint().set_backlog_full(true);
  Borrower second;
  second.acquire(cluster);
  REQUIRE(second.lease);
  Borrower third;
  third.acquire(cluster);
  rig.rounds.pass(60ms);
  rig.settle();
  CHECK(third.waits());
  CHECK(rig.origins[0]->sessions.size() == 1);
  rig.endpoint().set_backlog_full(false);
  rig.rounds.pass(60ms);
  CHECK(rig.until([&third] { return third.lease.has_value(); }));
}

TEST_CASE("hold: requests wait through a reconfigure, and find the endpoint that it brings") {
  AwayRig rig;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(2);
  for (Borrower& borrower : borrowers) borrower.acquire(cluster);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 2; }));
  rig.definition.endpoints.clear();
  rig.cluster->reconfigure(rig.definition);
  rig.settle();
  CHECK(cluster.waiting() == 2);
  rig.add_origin();
  rig.cluster->reconfigure(rig.definition);
  REQUIRE(rig.until([&borrowers] { return borrowers[0].lease && borrowers[1].lease; }));
}

TEST_CASE("hold: every worker hears that the application is back") {
  AwayRig rig;
  rig.start();
  Cluster other(rig.rounds.loop(), rig.metrics.add_worker(), rig.definition);
  Borrower ours;
  Borrower theirs;
  ours.acquire(*rig.cluster);
  theirs.acquire(other);
  REQUIRE(rig.until([&] { return rig.cluster->waiting() == 1 && other.waiting() == 1; }));
  rig.come();
  CHECK(rig.until([&] { return ours.lease && theirs.lease; }));
  ours.reset();
  theirs.reset();
}
