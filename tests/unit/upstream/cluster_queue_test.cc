// The queue in front of max_in_flight: its order, its ceilings, and who leaves it how.
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using upstream::Cluster;
using upstream::Wish;

namespace {

// One place, and somebody who has it.
struct FullRig : ClusterRig {
  FullRig() {
    config().max_in_flight = 1;
    start();
    lease(holder);
  }
  ~FullRig() {
    if (holder.lease && holder.lease->stream != nullptr) holder.reset();
  }
  Borrower holder;
};

// Another worker's cluster of the same upstream.
std::unique_ptr<Cluster> neighbour(ClusterRig& rig) {
  return std::make_unique<Cluster>(rig.rounds.loop(), rig.metrics.add_worker(), rig.definition);
}

}  // namespace

TEST_CASE("queue: above max_in_flight requests wait, first come first served") {
  FullRig rig;
  std::vector<Borrower*> order;
  std::vector<Borrower> waiting(4);
  for (Borrower& borrower : waiting) {
    borrower.diary = &order;
    borrower.acquire(*rig.cluster);
  }
  rig.settle();
  CHECK(order.empty());
  CHECK(rig.cluster->waiting() == 4);
  CHECK(rig.endpoint().inside() == 1);
  rig.serve(rig.holder);
  for (size_t i = 0; i < waiting.size(); ++i) {
    REQUIRE(rig.until([&order, i] { return order.size() == i + 1; }));
    CHECK(order[i] == &waiting[i]);
    CHECK(waiting[i].lease->queued >= 0s);
    CHECK_FALSE(waiting[i].lease->fresh);
    rig.settle();
    CHECK(order.size() == i + 1);  // one at a time
    rig.serve(waiting[i]);
  }
  CHECK(rig.cluster->waiting() == 0);
  CHECK(rig.endpoint().inside() == 0);
  CHECK(rig.origins[0]->sessions.size() == 1);
}

TEST_CASE("queue: nobody overtakes it") {
  FullRig rig;
  Borrower first;
  first.acquire(*rig.cluster);
  rig.serve(rig.holder);  // the place is free, but first has not been told yet
  Borrower second;
  second.acquire(*rig.cluster);
  CHECK(second.waits());
  REQUIRE(rig.until([&first] { return first.lease.has_value(); }));
  CHECK(second.waits());
}

TEST_CASE("queue: it is full at its number of requests") {
  FullRig rig;
  rig.config().hold.requests = 2;
  rig.cluster->reconfigure(rig.definition);
  std::vector<Borrower> borrowers(3);
  for (Borrower& borrower : borrowers) borrower.acquire(*rig.cluster);
  CHECK(borrowers[0].waits());
  CHECK(borrowers[1].waits());
  REQUIRE(borrowers[2].error);
  CHECK(borrowers[2].error->code == ErrorCode::kOverloaded);
  borrowers[0].ticket.reset();
  Borrower next;
  next.acquire(*rig.cluster);
  CHECK(next.waits());
}

TEST_CASE("queue: it is full at its number of bytes") {
  FullRig rig;
  rig.config().hold.bytes = 1000_B;
  rig.cluster->reconfigure(rig.definition);
  Wish large;
  large.bytes = 600;
  Borrower first;
  Borrower second;
  Borrower small;
  first.acquire(*rig.cluster, large);
  CHECK(first.waits());
  second.acquire(*rig.cluster, large);
  REQUIRE(second.error);
  CHECK(second.error->code == ErrorCode::kOverloaded);
  small.acquire(*rig.cluster);
  CHECK(small.waits());
  first.ticket.reset();
  Borrower third;
  third.acquire(*rig.cluster, large);
  CHECK(third.waits());
}

TEST_CASE("queue: who waited too long is told so, once, and is in nobody's way") {
  FullRig rig;
  rig.config().hold.timeout = 20s;
  rig.cluster->reconfigure(rig.definition);
  Borrower impatient;
  impatient.acquire(*rig.cluster);
  rig.rounds.pass(19s);
  CHECK(impatient.waits());
  Borrower later;
  later.acquire(*rig.cluster);
  rig.rounds.pass(1s + 2ms);
  REQUIRE(impatient.error);
  CHECK(impatient.error->code == ErrorCode::kTimeout);
  CHECK(impatient.failed_at == nullptr);
  CHECK(rig.cluster->waiting() == 1);
  rig.holder.reset();
  REQUIRE(rig.until([&later] { return later.lease.has_value(); }));
  CHECK(later.lease->queued >= 1s);
}

TEST_CASE("queue: a ticket given up while queued leaves its place to the next") {
  FullRig rig;
  std::vector<Borrower> borrowers(3);
  for (Borrower& borrower : borrowers) borrower.acquire(*rig.cluster);
  borrowers[0].ticket.reset();
  borrowers[1].ticket.reset();
  CHECK(rig.cluster->waiting() == 1);
  rig.holder.reset();
  CHECK(rig.until([&] { return borrowers[2].lease.has_value(); }));
}

TEST_CASE("queue: a ticket given up while dialling frees its place") {
  ClusterRig rig;
  rig.config().max_in_flight = 1;
  Cluster& cluster = rig.start();
  Borrower leaver;
  leaver.acquire(cluster);
  CHECK(rig.endpoint().inside() == 1);
  Borrower next;
  next.acquire(cluster);
  CHECK(cluster.waiting() == 1);
  leaver.ticket.reset();
  REQUIRE(rig.until([&next] { return next.lease.has_value(); }));
  rig.settle();
  CHECK_FALSE(leaver.lease);
}

TEST_CASE("queue: a ticket given up between its grant and the news passes it on") {
  FullRig rig;
  Borrower granted;
  Borrower next;
  // The one in front gives up the other's ticket in the very tick both could be told.
  struct Spoiler final : upstream::Waiter {
    void on_lease(const upstream::Lease& its) override {
      victim->ticket.reset();
      its.stream->reset();
    }
    void on_no_lease(const Error&, const upstream::Endpoint*) override {}
    Borrower* victim = nullptr;
  } spoiler;
  spoiler.victim = &granted;
  rig.config().max_in_flight = 3;
  auto in_front = rig.cluster->acquire(spoiler, {});
  granted.acquire(*rig.cluster);
  next.acquire(*rig.cluster);
  rig.serve(rig.holder);                     // one idle connection for the spoiler
  rig.cluster->reconfigure(rig.definition);  // places for all of them at once
  REQUIRE(rig.until([&next] { return next.lease.has_value(); }));
  CHECK_FALSE(granted.lease);
  CHECK(rig.cluster->waiting() == 0);
  CHECK(rig.endpoint().inside() == 1);
}

TEST_CASE("queue: who waits for a fresh connection gets no used one") {
  FullRig rig;
  Wish fresh;
  fresh.fresh = true;
  Borrower careful;
  careful.acquire(*rig.cluster, fresh);
  rig.serve(rig.holder);  // leaves an idle connection behind
  REQUIRE(rig.until([&careful] { return careful.lease.has_value(); }));
  CHECK(careful.lease->fresh);
  CHECK(careful.lease->queued >= 0s);
}

TEST_CASE("queue: a failed dial gives its place back") {
  ClusterRig rig(0);
  rig.add_endpoint(listening().local());  // nobody is there
  rig.config().max_in_flight = 1;
  Cluster& cluster = rig.start();
  std::vector<Borrower> borrowers(3);
  for (Borrower& borrower : borrowers) borrower.acquire(cluster);
  CHECK(cluster.waiting() == 2);
  REQUIRE(rig.until([&cluster] { return cluster.waiting() == 3; }));
  CHECK(rig.endpoint().inside() == 0);
}

TEST_CASE("reconfigure: pools of endpoints that stay are kept, with what is idle in them") {
  ClusterRig rig(2);
  Cluster& cluster = rig.start();
  std::vector<Borrower> both(2);
  for (Borrower& borrower : both) rig.lease(borrower);
  const auto gone = rig.definition.endpoints[0];
  Borrower& stays = both[0].lease->endpoint == gone.get() ? both[1] : both[0];
  Borrower& leaves = &stays == &both[0] ? both[1] : both[0];
  rig.serve(stays);
  rig.definition.endpoints.erase(rig.definition.endpoints.begin());
  cluster.reconfigure(rig.definition);
  CHECK(cluster.pool_count() == 1);
  CHECK(cluster.pool(0).idle() == 1);
  Borrower next;
  next.acquire(cluster);
  REQUIRE(next.lease);  // at once
  rig.serve(leaves);    // a lease at an endpoint that has gone goes on to its end
  CHECK(leaves.answered);
  rig.settle();
}

TEST_CASE("reconfigure: a limit taken away lets the queue go; one that came counts from now on") {
  FullRig rig;
  Borrower waiting;
  waiting.acquire(*rig.cluster);
  rig.settle();
  CHECK(waiting.waits());
  rig.config().max_in_flight = 0;
  rig.cluster->reconfigure(rig.definition);
  REQUIRE(rig.until([&waiting] { return waiting.lease.has_value(); }));
  rig.config().max_in_flight = 1;
  rig.cluster->reconfigure(rig.definition);
  waiting.reset();
  rig.holder.reset();
  CHECK(rig.endpoint().inside() == 0);
  Borrower first;
  Borrower second;
  rig.lease(first);
  second.acquire(*rig.cluster);
  rig.settle();
  CHECK(second.waits());
}

TEST_CASE("turnstile: a place freed on one worker wakes a request on another") {
  FullRig rig;
  const auto other = neighbour(rig);
  Borrower waiting;
  waiting.acquire(*other);
  rig.settle();
  CHECK(waiting.waits());
  rig.serve(rig.holder);
  CHECK(rig.until([&waiting] { return waiting.lease.has_value(); }));
}

TEST_CASE("turnstile: a wake that finds nobody waiting any more goes on to the next") {
  FullRig rig;
  const auto second = neighbour(rig);
  const auto third = neighbour(rig);
  Borrower leaver;
  Borrower stayer;
  leaver.acquire(*second);
  stayer.acquire(*third);
  rig.settle();
  rig.holder.reset();     // wakes one of the two
  leaver.ticket.reset();  // whose request leaves before the wake arrives
  CHECK(rig.until([&stayer] { return stayer.lease.has_value(); }));
}

TEST_CASE("turnstile: a place that our own queue no longer wants goes to another worker") {
  FullRig rig;
  const auto other = neighbour(rig);
  Borrower ours;
  Borrower theirs;
  ours.acquire(*rig.cluster);
  theirs.acquire(*other);
  rig.settle();
  rig.holder.reset();   // kept for our own queue
  ours.ticket.reset();  // which is empty before it is served
  CHECK(rig.until([&theirs] { return theirs.lease.has_value(); }));
}

TEST_CASE("turnstile: a wake for a cluster that has gone finds nobody") {
  FullRig rig;
  auto other = neighbour(rig);
  Borrower waiting;
  waiting.acquire(*other);
  rig.settle();
  rig.holder.reset();  // the wake is on its way
  waiting.ticket.reset();
  other.reset();
  rig.settle();
  Borrower next;
  rig.lease(next);
}
