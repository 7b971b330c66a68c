#include "proxy/event/beat.h"

#include <memory>

#include <doctest/doctest.h>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

struct Ear final : event::BeatEvents {
  void on_beat() override {
    if (++beats == stop_at) loop->stop();
    if (beats == slow_at) slowed = beat->set(1h).has_value();
  }
  event::Loop* loop = nullptr;
  event::Beat* beat = nullptr;
  int beats = 0;
  int stop_at = 3;
  int slow_at = 0;
  bool slowed = false;
};

}  // namespace

TEST_CASE("beat: comes again and again, an interval apart") {
  const auto loop = event::Loop::make().value();
  Ear ear;
  ear.loop = loop.get();
  event::Beat beat(*loop, ear);
  const TimePoint began = steady_now();
  REQUIRE(beat.set(2ms));
  REQUIRE(beat.set(2ms));
  loop->run();
  CHECK(ear.beats == 3);
  CHECK(steady_now() - began >= 6ms);
}

TEST_CASE("beat: the interval may change from inside, and zero ends it") {
  const auto loop = event::Loop::make().value();
  Ear ear;
  ear.loop = loop.get();
  ear.stop_at = ear.slow_at = 2;
  event::Beat beat(*loop, ear);
  ear.beat = &beat;
  REQUIRE(beat.set(1ms));
  loop->run();
  CHECK(ear.slowed);
  CHECK(beat.interval() == 1h);
  REQUIRE(beat.set(0ms));
  CHECK(beat.interval() == 0ms);
}
