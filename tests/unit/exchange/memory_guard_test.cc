#include "proxy/exchange/memory_guard.h"

#include <memory>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/exchange/flight_ceiling.h"

namespace sluice::exchange {
namespace {

struct Shedder final : MemoryShedder {
  void shed(uint64_t bytes) override { asked.push_back(bytes); }
  std::vector<uint64_t> asked;
};

constexpr uint64_t kCeiling = 64 * Block::kSize;

struct Rig {
  Rig() {
    auto made = event::Loop::make();
    REQUIRE(made);
    loop = std::move(*made);
    guard.emplace(*loop, Block::held() + kCeiling, shedder);
  }
  void hold(size_t blocks) {
    for (size_t i = 0; i < blocks; ++i) held.push_back(BlockRef::make());
  }
  void tick(Duration by = Duration{0}) {
    loop->timers().advance(loop->now() + by);
    loop->end_tick();
  }
  std::unique_ptr<event::Loop> loop;
  Shedder shedder;
  std::optional<MemoryGuard> guard;
  std::vector<BlockRef> held;
};

}  // namespace

TEST_CASE("memory_guard: nothing happens up to the ceiling") {
  Rig rig;
  rig.hold(64);
  rig.guard->look();
  rig.tick();
  CHECK(rig.shedder.asked.empty());
  CHECK(rig.guard->admits(UINT64_MAX));
  CHECK(Block::held() > rig.guard->spill_mark());
}

TEST_CASE("memory_guard: above it what is too much is ended at the end of the tick, once") {
  Rig rig;
  rig.hold(66);
  rig.guard->look();
  CHECK(rig.shedder.asked.empty());
  rig.tick();
  REQUIRE(rig.shedder.asked.size() == 1);
  CHECK(rig.shedder.asked[0] >= 2 * Block::kSize + kCeiling / 8);
  rig.guard->look();  // it is under way
  rig.tick();
  CHECK(rig.shedder.asked.size() == 1);
  SUBCASE("again where that was not enough") {
    rig.tick(std::chrono::milliseconds(20));
    CHECK(rig.shedder.asked.size() == 2);
  }
  SUBCASE("and no more where it was") {
    rig.held.resize(50);
    rig.tick(std::chrono::milliseconds(20));
    rig.tick(std::chrono::milliseconds(20));
    CHECK(rig.shedder.asked.size() == 1);
  }
}

TEST_CASE("memory_guard: small requests are admitted longer than large ones") {
  Rig rig;
  rig.hold(66);
  CHECK_FALSE(rig.guard->admits(UINT64_MAX));
  CHECK_FALSE(rig.guard->admits(1 << 20));
  CHECK(rig.guard->admits(0));
  rig.hold(10);
  CHECK_FALSE(rig.guard->admits(0));
}

TEST_CASE("flight_ceiling: places are given back, and none are counted where there is no ceiling") {
  FlightCeiling ceiling;
  {
    FlightPlace uncounted;
    CHECK(uncounted.take(ceiling));
    CHECK(ceiling.used() == 0);
    ceiling.set(2);
    FlightPlace first;
    FlightPlace second;
    FlightPlace third;
    CHECK(first.take(ceiling));
    CHECK(second.take(ceiling));
    CHECK_FALSE(third.take(ceiling));
    CHECK(ceiling.used() == 2);
    first.give_back();
    first.give_back();
    CHECK(third.take(ceiling));
  }
  CHECK(ceiling.used() == 0);
}

}  // namespace sluice::exchange
