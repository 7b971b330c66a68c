#include "proxy/event/loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <doctest/doctest.h>

#include "proxy/base/fd.h"

using namespace std::chrono_literals;
using sluice::Fd;
using sluice::event::Deferred;
using sluice::event::IoEvents;
using sluice::event::IoReady;
using sluice::event::IoWatcher;
using sluice::event::Loop;
using sluice::event::Timer;
using sluice::event::TimerEvents;

TEST_CASE("loop: posted work runs on the loop's thread in order") {
  auto loop = Loop::make().value();
  std::vector<int> order;
  std::thread other([&loop, &order] {
    for (int i = 0; i < 3; ++i) loop->post([&order, i] { order.push_back(i); });
    loop->stop();
  });
  loop->run();
  other.join();
  CHECK(order == std::vector<int>{0, 1, 2});
}

TEST_CASE("loop: a timer ends the wait") {
  auto loop = Loop::make().value();
  struct Stop final : TimerEvents {
    explicit Stop(Loop& l) : loop(l), timer(l.timers(), *this) { timer.arm(5ms); }
    void on_timer(Timer&) override { loop.stop(); }
    Loop& loop;
    Timer timer;
  } stop(*loop);
  const auto begun = sluice::steady_now();
  loop->run();
  CHECK(sluice::steady_now() - begun >= 5ms);
}

TEST_CASE("loop: readiness is told once, the other side's FIN as ended") {
  auto loop = Loop::make().value();
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  Fd ours(pair[0]);
  Fd theirs(pair[1]);
  struct Reader final : IoEvents {
    explicit Reader(Loop& l) : loop(l) {}
    void on_io(IoReady ready) override {
      reads += ready.readable ? 1 : 0;
      if (ready.ended) loop.stop();
    }
    Loop& loop;
    int reads = 0;
  } reader(*loop);
  IoWatcher watcher;
  REQUIRE(watcher.start(*loop, ours.get(), reader));
  REQUIRE(::write(theirs.get(), "x", 1) == 1);
  loop->post([&theirs] { theirs.reset(); });
  loop->run();
  CHECK(reader.reads >= 1);
}

TEST_CASE("loop: deferred deletion happens at the end of the tick") {
  auto loop = Loop::make().value();
  struct Doomed final : Deferred {
    explicit Doomed(bool& flag) : dead(flag) {}
    ~Doomed() override { dead = true; }
    bool& dead;
  };
  bool dead = false;
  bool dead_inside = true;
  loop->post([&] {
    loop->defer_delete(std::make_unique<Doomed>(dead));
    dead_inside = dead;
  });
  loop->stop();
  loop->run();
  CHECK(dead);
  CHECK_FALSE(dead_inside);
}
