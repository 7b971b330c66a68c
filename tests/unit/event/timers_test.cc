#include "proxy/event/timers.h"

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using sluice::Duration;
using sluice::TimePoint;
using sluice::event::Timer;
using sluice::event::TimerEvents;
using sluice::event::Timers;

namespace {

const TimePoint kStart = TimePoint{} + 1h;

struct Recorder final : TimerEvents {
  explicit Recorder(Timers& t) : timers(t), timer(t, *this) {}
  void on_timer(Timer&) override {
    ++fired;
    at = timers.now();
    if (again > 0ms) timer.arm(again);
  }
  Timers& timers;
  int fired = 0;
  TimePoint at{};
  Duration again = 0ms;
  Timer timer;
};

}  // namespace

TEST_CASE("timers: fire at their deadline, not before") {
  Timers timers(kStart);
  Recorder r(timers);
  r.timer.arm(5ms);
  timers.advance(kStart + 4ms);
  CHECK(r.fired == 0);
  timers.advance(kStart + 5ms);
  CHECK(r.fired == 1);
  CHECK_FALSE(r.timer.is_armed());
  CHECK(timers.armed() == 0);
}

TEST_CASE("timers: at once is the next advance, also of a clock that stands still, and once") {
  Timers timers(kStart);
  Recorder r(timers);
  Recorder never(timers);
  r.timer.arm(5ms);
  r.timer.arm_at_once();
  never.timer.arm_at_once();
  never.timer.cancel();
  CHECK(timers.next_turn() == kStart);
  timers.advance(kStart);
  CHECK(r.fired == 1);
  CHECK(never.fired == 0);
  CHECK_FALSE(r.timer.is_armed());
  CHECK(timers.next_turn() == TimePoint::max());
  timers.advance(kStart + 10ms);
  CHECK(r.fired == 1);
  r.timer.arm_at_once();
  r.timer.arm(3ms);
  timers.advance(timers.now());
  CHECK(r.fired == 1);
  timers.advance(timers.now() + 3ms);
  CHECK(r.fired == 2);
}

TEST_CASE("timers: a cancelled or destroyed timer stays silent") {
  Timers timers(kStart);
  Recorder r(timers);
  r.timer.arm(5ms);
  r.timer.cancel();
  { Recorder gone(timers); gone.timer.arm(1ms); }
  timers.advance(kStart + 1s);
  CHECK(r.fired == 0);
  CHECK(timers.next_turn() == TimePoint::max());
}

TEST_CASE("timers: a callback may arm itself again") {
  Timers timers(kStart);
  Recorder r(timers);
  r.again = 10ms;
  r.timer.arm(10ms);
  for (int i = 1; i <= 100; ++i) timers.advance(kStart + i * 10ms);
  CHECK(r.fired == 100);
}

TEST_CASE("timers: a callback may cancel another that is due in the same tick") {
  Timers timers(kStart);
  Recorder victim(timers);
  struct Killer final : TimerEvents {
    Killer(Timers& t, Timer& v) : victim(v), timer(t, *this) {}
    void on_timer(Timer&) override { victim.cancel(); }
    Timer& victim;
    Timer timer;
  } killer(timers, victim.timer);
  victim.timer.arm(3ms);
  killer.timer.arm(3ms);  // the later armed one runs first
  timers.advance(kStart + 10ms);
  CHECK(victim.fired == 0);
}

TEST_CASE("timers: a clock that stands still or goes back runs nothing") {
  Timers timers(kStart);
  Recorder r(timers);
  r.timer.arm(1ms);
  timers.advance(kStart);
  timers.advance(kStart - 1h);
  CHECK(r.fired == 0);
  CHECK(timers.now() == kStart);
}

TEST_CASE("timers: random deadlines up to days fire within a millisecond of their time") {
  Timers timers(kStart);
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Recorder>> all;
  std::vector<TimePoint> due;
  for (int i = 0; i < 500; ++i) {
    const double part = std::uniform_real_distribution<>(0, 1)(random);
    const double most = 1e6 * std::pow(10, static_cast<int>(random() % 9));
    const auto wait = Duration(static_cast<int64_t>(part * most));
    all.push_back(std::make_unique<Recorder>(timers));
    all.back()->timer.arm(wait);
    due.push_back(kStart + wait);
  }
  TimePoint now = kStart;
  while (timers.armed() > 0) {
    const TimePoint turn = timers.next_turn();
    REQUIRE(turn > now);
    now = turn;
    timers.advance(now);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i]->fired == 1);
    CHECK(all[i]->at >= due[i]);
    CHECK(all[i]->at - due[i] <= 1ms);
  }
}
