#include "proxy/upstream/dial_gate.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using sluice::Duration;
using sluice::upstream::DialGate;

TEST_CASE("dial gate: open, anybody dials") {
  DialGate gate;
  for (int i = 0; i < 3; ++i) {
    CHECK(gate.may_dial());
    gate.on_dial();
  }
  CHECK(gate.is_open());
}

TEST_CASE("dial gate: full, nobody dials, then one at a time") {
  DialGate gate;
  gate.on_full();
  CHECK_FALSE(gate.may_dial());
  gate.on_dial();
  gate.on_connected();
  CHECK_FALSE(gate.may_dial());  // a dial that was on its way before
  gate.on_moved();
  CHECK(gate.may_dial());
  gate.on_dial();
  CHECK_FALSE(gate.may_dial());
  gate.on_connected();
  CHECK(gate.may_dial());
  gate.on_dial();
  gate.on_no_dial();
  CHECK(gate.may_dial());
  CHECK_FALSE(gate.is_open());
}

TEST_CASE("dial gate: it opens when nobody waits, but not while it is shut or being tried") {
  DialGate gate;
  gate.on_full();
  gate.on_nobody_waits();
  CHECK_FALSE(gate.is_open());
  gate.on_moved();
  gate.on_dial();
  gate.on_nobody_waits();
  CHECK_FALSE(gate.is_open());
  gate.on_connected();
  gate.on_nobody_waits();
  CHECK(gate.is_open());
  gate.on_moved();
  CHECK(gate.is_open());
}

TEST_CASE("dial gate: pauses double from 5 to 50 ms, once a round, and begin anew with a success") {
  DialGate gate;
  for (const Duration pause : {5ms, 10ms, 20ms, 40ms, 50ms, 50ms}) {
    CHECK(gate.on_full() == pause);
    CHECK(gate.on_full() == 0ms);  // of the same round
    gate.on_moved();
    gate.on_dial();
  }
  gate.on_connected();
  CHECK(gate.on_full() == 5ms);
}
