#include "proxy/upstream/turnstile.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

using sluice::upstream::Turnstile;

namespace {

struct Gate {
  size_t join(char name) {
    return turnstile.join([this, name] { woken += name; });
  }
  std::string pass_on(size_t place) {
    woken.clear();
    turnstile.pass_on(place);
    return woken;
  }
  Turnstile turnstile;
  std::string woken;
};

}  // namespace

TEST_CASE("turnstile: nobody is woken who does not wait") {
  Gate gate;
  const size_t a = gate.join('a');
  gate.join('b');
  CHECK(gate.pass_on(a).empty());
}

TEST_CASE("turnstile: the next one that waits is woken, in turn, and never oneself") {
  Gate gate;
  const size_t a = gate.join('a');
  const size_t b = gate.join('b');
  const size_t c = gate.join('c');
  gate.turnstile.set_waiting(b, true);
  gate.turnstile.set_waiting(c, true);
  std::string order;
  for (int i = 0; i < 4; ++i) order += gate.pass_on(a);
  CHECK((order == "bcbc" || order == "cbcb"));
  gate.turnstile.set_waiting(c, false);
  CHECK(gate.pass_on(a) == "b");
  CHECK(gate.pass_on(b).empty());
}

TEST_CASE("turnstile: saying the same twice counts once") {
  Gate gate;
  const size_t a = gate.join('a');
  const size_t b = gate.join('b');
  gate.turnstile.set_waiting(b, true);
  gate.turnstile.set_waiting(b, true);
  gate.turnstile.set_waiting(b, false);
  CHECK(gate.pass_on(a).empty());
  gate.turnstile.set_waiting(b, false);
  gate.turnstile.set_waiting(b, true);
  CHECK(gate.pass_on(a) == "b");
}

TEST_CASE("turnstile: who left is not woken, and the place is given again") {
  Gate gate;
  const size_t a = gate.join('a');
  const size_t b = gate.join('b');
  gate.turnstile.set_waiting(b, true);
  gate.turnstile.leave(b);
  CHECK(gate.pass_on(a).empty());
  CHECK(gate.join('c') == b);
  CHECK(gate.pass_on(a).empty());
  gate.turnstile.set_waiting(b, true);
  CHECK(gate.pass_on(a) == "c");
}

TEST_CASE("turnstile: what all have to know wakes all that are there, waiting or not") {
  Gate gate;
  gate.join('a');
  const size_t b = gate.join('b');
  const size_t c = gate.join('c');
  gate.turnstile.set_waiting(c, true);
  gate.turnstile.leave(b);
  gate.turnstile.wake_all();
  CHECK(gate.woken == "ac");
}

TEST_CASE("turnstile: threads that come, wait, pass on and go") {
  Turnstile turnstile;
  std::atomic<int> wakes{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&turnstile, &wakes] {
      for (int i = 0; i < 300; ++i) {
        const size_t place = turnstile.join([&wakes] { ++wakes; });
        turnstile.set_waiting(place, true);
        turnstile.pass_on(place);
        turnstile.set_waiting(place, false);
        turnstile.leave(place);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wakes <= 900);
  // Nobody waits, and nobody is left behind.
  int late = 0;
  const size_t only = turnstile.join([&late] { ++late; });
  CHECK(only < 3);
  turnstile.pass_on(only);
  CHECK(late == 0);
}
