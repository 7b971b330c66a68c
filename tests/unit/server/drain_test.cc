#include "proxy/server/drain.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace std::chrono_literals;
using server::Drain;
using Stage = Drain::Stage;

namespace {

struct Rig {
  Stage at(Duration since) { return drain.advance(TimePoint{} + 1h + since, evidence); }
  void begin() { drain.begin(TimePoint{} + 1h, limits, evidence.requests); }
  // Everybody has let the listeners go, and nothing is open.
  void empty() {
    evidence.is_closed = true;
    evidence.connections = 0;
  }

  config::Drain limits;  // 5 s, 3 s, 20 s, 28 s
  Drain::Evidence evidence{
      .requests = 100, .connections = 2, .is_closed = false, .handshake = 200ms};
  Drain drain;
};

}  // namespace

TEST_CASE("drain: before it begins there is nothing to wait for") {
  Rig rig;
  rig.empty();
  CHECK(rig.at(0s) == Stage::kServing);
  CHECK(rig.at(1h) == Stage::kServing);
}

TEST_CASE("drain: quiet from the start, it announces for `min`") {
  Rig rig;
  rig.begin();
  CHECK(rig.drain.stage() == Stage::kAnnouncing);
  CHECK(rig.at(4999ms) == Stage::kAnnouncing);
  CHECK(rig.at(5s) == Stage::kEmptying);
}

TEST_CASE("drain: while requests come, it announces until they have been quiet") {
  Rig rig;
  rig.begin();
  for (Duration t = 0s; t <= 10s; t += 500ms) {
    ++rig.evidence.requests;
    CHECK(rig.at(t) == Stage::kAnnouncing);
  }
  CHECK(rig.at(12999ms) == Stage::kAnnouncing);
  CHECK(rig.at(13s) == Stage::kEmptying);
}

TEST_CASE("drain: it announces no longer than `max`, however many still come") {
  Rig rig;
  rig.begin();
  for (Duration t = 0s; t < 20s; t += 500ms) {
    ++rig.evidence.requests;
    REQUIRE(rig.at(t) == Stage::kAnnouncing);
  }
  ++rig.evidence.requests;
  CHECK(rig.at(20s) == Stage::kEmptying);
}

TEST_CASE("drain: emptying takes its moment, then running requests finish") {
  Rig rig;
  rig.begin();
  rig.empty();  // even with nothing open: connections may be queued
  REQUIRE(rig.at(5s) == Stage::kEmptying);
  CHECK(rig.at(5199ms) == Stage::kEmptying);
  rig.evidence.is_closed = false;
  CHECK(rig.at(5200ms) == Stage::kFinishing);
}

TEST_CASE("drain: it is over when everybody let go and nothing is open") {
  Rig rig;
  rig.begin();
  rig.at(5s);
  REQUIRE(rig.at(5200ms) == Stage::kFinishing);
  rig.evidence.connections = 0;
  CHECK(rig.at(6s) == Stage::kFinishing);  // a worker may still hand one in
  rig.evidence = {.requests = 100, .connections = 1, .is_closed = true, .handshake = 200ms};
  CHECK(rig.at(7s) == Stage::kFinishing);
  rig.empty();
  CHECK(rig.at(8s) == Stage::kOver);
  CHECK(rig.at(1h) == Stage::kOver);
}

TEST_CASE("drain: at the deadline what is left is cut") {
  Rig rig;
  rig.begin();
  rig.at(5s);
  rig.at(6s);
  CHECK(rig.at(27999ms) == Stage::kFinishing);
  CHECK(rig.at(28s) == Stage::kCutting);
  CHECK(rig.at(28499ms) == Stage::kCutting);  // for the last words
  CHECK(rig.at(28500ms) == Stage::kOver);
}

TEST_CASE("drain: cutting is over as soon as nothing is left") {
  Rig rig;
  rig.begin();
  rig.at(5s);
  rig.at(6s);
  REQUIRE(rig.at(28s) == Stage::kCutting);
  rig.empty();
  CHECK(rig.at(28020ms) == Stage::kOver);
}

TEST_CASE("drain: handshakes of far clients are waited for longer") {
  Rig rig;
  rig.begin();
  REQUIRE(rig.at(5s) == Stage::kEmptying);
  rig.evidence.handshake = 600ms;
  CHECK(rig.at(5500ms) == Stage::kEmptying);
  CHECK(rig.at(5600ms) == Stage::kFinishing);
}

TEST_CASE("drain: a count of requests that falls is no news") {
  Rig rig;
  rig.begin();
  rig.at(4s);
  --rig.evidence.requests;  // a health check was over, and no longer counts
  CHECK(rig.at(5s) == Stage::kEmptying);
}

TEST_CASE("drain: a second signal skips the waiting, not the requests") {
  Rig rig;
  rig.begin();
  CHECK(rig.at(100ms) == Stage::kAnnouncing);
  rig.drain.hurry();
  CHECK(rig.drain.hurried());
  CHECK(rig.at(100ms) == Stage::kEmptying);
  CHECK(rig.at(300ms) == Stage::kFinishing);
  CHECK(rig.at(27s) == Stage::kFinishing);
  rig.empty();
  CHECK(rig.at(27s) == Stage::kOver);
}

TEST_CASE("drain: it can be taken back while announcing, and begin again as if new") {
  Rig rig;
  CHECK(rig.drain.cancel());  // there is none
  rig.begin();
  rig.drain.hurry();
  CHECK(rig.drain.cancel());
  CHECK(rig.at(1h) == Stage::kServing);
  CHECK_FALSE(rig.drain.hurried());
  rig.drain.begin(TimePoint{} + 2h, rig.limits, rig.evidence.requests);
  CHECK(rig.at(1h + 4s) == Stage::kAnnouncing);
  CHECK(rig.at(1h + 5s) == Stage::kEmptying);
}

TEST_CASE("drain: later it cannot be taken back") {
  Rig rig;
  rig.begin();
  rig.at(5s);
  CHECK_FALSE(rig.drain.cancel());
  CHECK(rig.at(6s) == Stage::kFinishing);
  CHECK_FALSE(rig.drain.cancel());
  rig.empty();
  CHECK(rig.at(7s) == Stage::kOver);
  CHECK_FALSE(rig.drain.cancel());
  CHECK(rig.drain.stage() == Stage::kOver);
}

TEST_CASE("drain: told to begin twice, it began once") {
  Rig rig;
  rig.begin();
  rig.at(4s);
  rig.drain.begin(TimePoint{} + 1h + 4s, rig.limits, 0);
  CHECK(rig.at(5s) == Stage::kEmptying);
  CHECK(rig.drain.elapsed(TimePoint{} + 1h + 5s) == 5s);
}

TEST_CASE("drain: told late, it goes as far as it can") {
  Rig rig;
  rig.begin();
  CHECK(rig.at(100s) == Stage::kEmptying);  // the listeners still have to be let go
  CHECK(rig.at(101s) == Stage::kFinishing);
  CHECK(rig.at(102s) == Stage::kCutting);
  CHECK(rig.at(103s) == Stage::kOver);
}
