// Two workers, each a thread with a loop of its own, share one upstream's permits.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using upstream::Cluster;

namespace {

constexpr int kRequests = 200;

// Takes a place, gives it back on a later tick, and again.
class Worker final : private upstream::Waiter, private sluice::event::SoonEvents {
 public:
  Worker(const upstream::Definition& definition, observe::WorkerMetrics& metrics,
         std::atomic<int>& inside, std::atomic<int>& most)
      : inside_(inside), most_(most), cluster_(rounds_.loop(), metrics, definition) {}

  bool run() {
    next();
    return rounds_.until([this] { return done_ == kRequests; });
  }

 private:
  void next() {
    auto acquired = cluster_.acquire(*this, {});
    if (auto* its = std::get_if<upstream::Lease>(&acquired)) enter(*its);
    if (auto* its = std::get_if<std::unique_ptr<upstream::Ticket>>(&acquired)) {
      ticket_ = std::move(*its);
    }
  }
  void enter(const upstream::Lease& lease) {
    stream_ = lease.stream;
    const int now = inside_.fetch_add(1) + 1;
    int most = most_.load();
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
    leave_.schedule();
  }
  void on_lease(const upstream::Lease& lease) override { enter(lease); }
  void on_no_lease(const Error& error, const upstream::Endpoint*) override {
    FAIL_CHECK(error.detail);
    done_ = kRequests;
  }
  void on_soon() override {
    inside_.fetch_sub(1);
    std::exchange(stream_, nullptr)->reset();
    ++done_;
    rounds_.loop().post([this] {
      ticket_.reset();
      if (done_ < kRequests) next();
    });
  }

  Rounds rounds_;
  std::atomic<int>& inside_;
  std::atomic<int>& most_;
  Cluster cluster_;
  int done_ = 0;
  http::ClientStream* stream_ = nullptr;
  std::unique_ptr<upstream::Ticket> ticket_;
  sluice::event::Soon leave_{rounds_.loop(), *this};
};

}  // namespace

TEST_CASE("workers: max_in_flight holds over all of them, and no place is lost between them") {
  ClusterRig rig;
  rig.config().max_in_flight = 2;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> well{0};
  std::atomic<int> running{3};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    observe::WorkerMetrics& metrics = rig.metrics.add_worker();
    threads.emplace_back([&, &its = metrics] {
      Worker worker(rig.definition, its, inside, most);
      if (worker.run()) ++well;
      --running;
    });
  }
  while (running > 0) {
    rig.origins[0]->serve();
    rig.origins[0]->sessions.clear();
  }
  for (auto& thread : threads) thread.join();
  CHECK(well == 3);
  CHECK(most <= 2);
  CHECK(rig.endpoint().inside() == 0);
}
