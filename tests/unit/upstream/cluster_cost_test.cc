// What the way through a cluster costs a request that finds an idle connection: no memory asked
// for. (Sanitizers bring their own operator new.)
#include <cstdlib>
#include <new>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)

namespace {
thread_local long asked_for = 0;
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++asked_for;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

using namespace sluice;
using namespace sluice::testing;

TEST_CASE("cluster: a request that finds an idle connection asks for no memory") {
  for (const size_t endpoints : {1U, 3U}) {
    ClusterRig rig(endpoints);
    rig.config().max_in_flight = 100;
    rig.config().pool.idle = std::chrono::seconds(10);
    upstream::Cluster& cluster = rig.start();
    // One idle connection each, and every list has grown to its size.
    for (int round = 0; round < 2; ++round) {
      std::vector<Borrower> borrowers(endpoints);
      for (Borrower& borrower : borrowers) rig.lease(borrower);
      for (Borrower& borrower : borrowers) rig.serve(borrower);
    }
    for (size_t i = 0; i < 2 * endpoints; ++i) {
      Borrower borrower;
      const upstream::Wish wish;
      const long before = asked_for;
      auto acquired = cluster.acquire(borrower, wish);
      CHECK(asked_for == before);
      REQUIRE(std::holds_alternative<upstream::Lease>(acquired));
      borrower.on_lease(std::get<upstream::Lease>(acquired));
      borrower.ask();
      REQUIRE(rig.until([&borrower] { return borrower.answered; }));
      const long at_the_end = asked_for;
      borrower.finish();
      CHECK(asked_for == at_the_end);
    }
  }
}

#endif
