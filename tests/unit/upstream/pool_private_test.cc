// Connections that begin with a client's address: one client's, and nobody else's.
#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using upstream::Wish;

TEST_CASE("pool: a connection that began with a client's address is not kept") {
  ClusterRig rig;
  rig.config().pool.idle = 10s;
  rig.start();
  Wish named;
  named.preface = "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n";
  for (size_t i = 1; i <= 3; ++i) {
    Borrower borrower;
    rig.lease(borrower, named);
    CHECK(borrower.lease->fresh);
    rig.serve(borrower);
    CHECK(rig.origins[0]->sessions.size() == i);
    CHECK(rig.cluster->pool(0).idle() == 0);
    CHECK(rig.cluster->pool(0).connections() == 0);
  }
}

TEST_CASE("pool: who names a client gets none that was kept, and leaves it to others") {
  ClusterRig rig;
  rig.config().pool.idle = 10s;
  rig.start();
  for (const bool is_named : {false, true, false}) {
    Wish wish;
    if (is_named) wish.preface = "PROXY UNKNOWN\r\n";
    Borrower borrower;
    rig.lease(borrower, wish);
    rig.serve(borrower);
    CHECK(rig.cluster->pool(0).idle() == 1);
  }
  CHECK(rig.origins[0]->sessions.size() == 2);  // the third went by the first's
}
