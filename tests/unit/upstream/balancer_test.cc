#include "proxy/upstream/balancer.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/base/hash.h"
#include "proxy/upstream/ticket.h"

using namespace sluice;
using namespace sluice::upstream;
using namespace std::chrono_literals;
using config::Balance;

namespace {

struct Rig {
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  std::vector<Track> tracks;
  std::vector<uint32_t> loads;
  config::Upstream config;
  Balancer balancer{7};
  Wish wish;
  TimePoint now = steady_now();

  Rig(Balance balance, std::initializer_list<uint32_t> weights) {
    config.balance = balance;
    for (const uint32_t weight : weights) add(weight);
    use();
  }
  void add(uint32_t weight) {
    endpoints.push_back(std::make_shared<Endpoint>("10.0.0." + std::to_string(endpoints.size()),
                                                   net::SocketAddress{}, observe::EndpointId{}));
    endpoints.back()->set_weight(weight);
    tracks.resize(endpoints.size());
    loads.resize(endpoints.size());
  }
  void use() { balancer.reconfigure(config, endpoints); }
  size_t choose(size_t skip = SIZE_MAX) {
    std::vector<Candidate> candidates;
    std::vector<size_t> which;
    for (size_t i = 0; i < endpoints.size(); ++i) {
      if (i == skip) continue;
      candidates.push_back({endpoints[i].get(), &tracks[i], loads[i]});
      which.push_back(i);
    }
    return which[balancer.choose(candidates, wish, now)];
  }
  std::vector<size_t> shares(size_t rounds) {
    std::vector<size_t> counts(endpoints.size());
    for (size_t i = 0; i < rounds; ++i) ++counts[choose()];
    return counts;
  }
};

}  // namespace

TEST_CASE("round robin: smooth by weight, in every stretch") {
  Rig rig(Balance::kRoundRobin, {5, 1, 1});
  std::string order;
  for (int i = 0; i < 7; ++i) order += static_cast<char>('a' + rig.choose());
  CHECK(order == "aabacaa");
  CHECK(rig.shares(700) == std::vector<size_t>{500, 100, 100});
}

TEST_CASE("least request: the least in flight for its weight") {
  Rig rig(Balance::kLeastRequest, {1, 1, 2});
  rig.loads = {2, 1, 2};
  CHECK(rig.choose() == 2);  // 3/2 < 2
  rig.loads = {0, 1, 3};
  CHECK(rig.choose() == 0);
}

TEST_CASE("random: two are drawn, so the most loaded of three is never asked") {
  Rig rig(Balance::kRandom, {1, 1, 1});
  rig.loads = {0, 9, 0};
  const auto counts = rig.shares(3000);
  CHECK(counts[1] == 0);
  CHECK(counts[0] > 1000);
  CHECK(counts[2] > 1000);
}

TEST_CASE("peak ewma: a peak counts at once and is forgotten; the unknown is asked at once") {
  Rig rig(Balance::kPeakEwma, {1, 1});
  rig.tracks[0].on_answer(10ms, rig.now);
  rig.tracks[1].on_answer(12ms, rig.now);
  CHECK(rig.choose() == 0);
  rig.tracks[0].on_answer(500ms, rig.now);
  CHECK(rig.choose() == 1);
  for (int i = 0; i < 100; ++i) {
    rig.now += 1s;
    rig.tracks[0].on_answer(5ms, rig.now);
    rig.tracks[1].on_answer(12ms, rig.now);
  }
  CHECK(rig.choose() == 0);
  rig.loads = {9, 0};
  CHECK(rig.choose() == 1);
  rig.loads = {0, 0};
  rig.add(1);
  rig.use();
  CHECK(rig.choose() == 2);
  rig.loads = {0, 0, 1};
  CHECK(rig.choose() == 0);
  rig.loads = {5, 5, 1};
  CHECK(rig.choose() == 2);
}

TEST_CASE("ring hash: a key stays, and only the keys of one that goes move") {
  Rig rig(Balance::kRingHash, {1, 1, 1, 1});
  rig.wish.has_key = true;
  std::map<uint64_t, size_t> homes;
  std::vector<size_t> counts(4);
  for (int i = 0; i < 4000; ++i) {
    rig.wish.key = stable_hash("user-" + std::to_string(i));
    homes[rig.wish.key] = rig.choose();
    ++counts[homes[rig.wish.key]];
    CHECK(rig.choose() == homes[rig.wish.key]);
  }
  for (const size_t count : counts) {
    CHECK(count > 700);
    CHECK(count < 1300);
  }
  for (const auto& [key, home] : homes) {
    rig.wish.key = key;
    const size_t now = rig.choose(2);
    CHECK((home == 2 ? now != 2 : now == home));
  }
  // A fifth takes its share and disturbs nobody else.
  rig.add(1);
  rig.use();
  size_t moved = 0;
  for (const auto& [key, home] : homes) {
    rig.wish.key = key;
    const size_t now = rig.choose();
    if (now == home) continue;
    ++moved;
    CHECK(now == 4);
  }
  CHECK(moved > 500);
  CHECK(moved < 1100);
}

TEST_CASE("ring hash: a request without a key goes anywhere") {
  Rig rig(Balance::kRingHash, {1, 1});
  const auto counts = rig.shares(1000);
  CHECK(counts[0] > 300);
  CHECK(counts[1] > 300);
}

TEST_CASE("a sticky endpoint comes first, while it may be asked") {
  for (const Balance balance : {Balance::kRoundRobin, Balance::kLeastRequest, Balance::kRandom,
                                Balance::kPeakEwma, Balance::kRingHash}) {
    Rig rig(balance, {1, 1, 1});
    rig.loads = {0, 50, 0};
    rig.wish.sticky = rig.endpoints[1].get();
    for (int i = 0; i < 10; ++i) CHECK(rig.choose() == 1);
    CHECK(rig.choose(1) != 1);
  }
}

TEST_CASE("slow start: a tenth of the share at first, all of it at the end") {
  Rig rig(Balance::kRoundRobin, {1, 1});
  rig.endpoints[0]->note(EndpointNews::kAnswered);
  const TimePoint since = rig.endpoints[0]->changed_at();
  while (steady_now() < since + 1ms) {
  }
  rig.endpoints[1]->note(EndpointNews::kAnswered);
  const TimePoint back = rig.endpoints[1]->changed_at();
  rig.config.slow_start = back - since;  // over for the one when it begins for the other
  rig.use();
  rig.now = back;
  CHECK(rig.shares(1100) == std::vector<size_t>{1000, 100});
  rig.now = back + rig.config.slow_start / 2;
  CHECK(rig.shares(1500) == std::vector<size_t>{1000, 500});
  rig.now = back + 2 * rig.config.slow_start;
  CHECK(rig.shares(200) == std::vector<size_t>{100, 100});
}

TEST_CASE("stable hash: the same in every release") {
  CHECK(stable_hash("") == 0xefd01f60ba992926ULL);
  CHECK(stable_hash("user-1") != stable_hash("user-2"));
  CHECK(stable_hash("a", 1) != stable_hash("a", 2));
}
