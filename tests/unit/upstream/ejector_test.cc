#include "proxy/upstream/ejector.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::upstream;
using namespace std::chrono_literals;

namespace {

struct Rig {
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  config::Ejection config;
  Ejector ejector;

  explicit Rig(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      endpoints.push_back(std::make_shared<Endpoint>(std::to_string(i), net::SocketAddress{},
                                                     observe::EndpointId{}));
      endpoints.back()->note(EndpointNews::kAnswered);
    }
    use();
  }
  void use() { ejector.reconfigure(config, endpoints); }
  void fail(size_t which, int times, int status = 0) {
    for (int i = 0; i < times; ++i) ejector.on_result(*endpoints[which], status, 1ms);
  }
  void serve(size_t which, int times, Duration took = 1ms) {
    for (int i = 0; i < times; ++i) ejector.on_result(*endpoints[which], 200, took);
  }
  bool is_out(size_t which) const { return endpoints[which]->is_ejected(); }
};

}  // namespace

TEST_CASE("ejector: errors in a row put one out, a success in between does not") {
  Rig rig(3);
  rig.fail(0, 4);
  rig.serve(0, 1);
  rig.fail(0, 4, 503);
  CHECK_FALSE(rig.is_out(0));
  rig.fail(0, 1, 502);
  CHECK(rig.is_out(0));
  CHECK(rig.endpoints[0]->state() == EndpointState::kSuspect);
  CHECK(rig.endpoints[0]->tally().ejections == 1);
  rig.fail(1, 50, 500);  // the application's own answer
  CHECK_FALSE(rig.is_out(1));
}

TEST_CASE("ejector: never the last one that is usable, never more than `most`") {
  Rig one(1);
  one.fail(0, 100);
  CHECK_FALSE(one.is_out(0));
  Rig two(2);
  two.fail(0, 5);
  two.fail(1, 100);
  CHECK(two.is_out(0));
  CHECK_FALSE(two.is_out(1));
  Rig away(2);
  away.endpoints[1]->note(EndpointNews::kRefused);
  away.fail(0, 100);
  CHECK_FALSE(away.is_out(0));
  Rig five(5);
  for (size_t i = 0; i < 5; ++i) five.fail(i, 5);
  CHECK(five.is_out(0));
  CHECK(five.is_out(1));
  CHECK_FALSE(five.is_out(2));  // 3 of 5 would be 60 %
}

TEST_CASE("ejector: out for a while, longer each time in a row") {
  Rig rig(2);
  rig.fail(0, 5);
  const TimePoint begin = steady_now();
  rig.ejector.sweep(begin + 9s);
  CHECK(rig.is_out(0));
  rig.ejector.sweep(begin + 11s);
  CHECK_FALSE(rig.is_out(0));
  CHECK(rig.endpoints[0]->state() == EndpointState::kReady);
  rig.fail(0, 5);
  rig.ejector.sweep(begin + 15s);
  CHECK(rig.is_out(0));  // twice in a row: 20 s
  rig.ejector.sweep(begin + 25s);
  CHECK_FALSE(rig.is_out(0));
}

TEST_CASE("ejector: a rate of failures and a latency, each over an interval with enough requests") {
  Rig rig(3);
  rig.config.errors = 0;
  rig.config.rate = 50;
  rig.config.latency = 100ms;
  rig.config.requests = 10;
  rig.use();
  const TimePoint begin = steady_now();
  rig.ejector.sweep(begin);
  for (int i = 0; i < 10; ++i) {
    rig.fail(0, 1);
    rig.serve(0, 1);
  }
  rig.fail(1, 9);  // all of them, but too few
  rig.ejector.sweep(begin + 11s);
  CHECK(rig.is_out(0));
  CHECK_FALSE(rig.is_out(1));
  Rig slow(2);
  slow.config = rig.config;
  slow.use();
  slow.ejector.sweep(begin);
  slow.serve(0, 20, 150ms);
  slow.serve(1, 20, 50ms);
  slow.ejector.sweep(begin + 11s);
  CHECK(slow.is_out(0));
  CHECK_FALSE(slow.is_out(1));
}

TEST_CASE("ejector: what is known of an endpoint survives a reload, and off is off") {
  Rig rig(2);
  rig.fail(0, 5);
  rig.use();
  CHECK(rig.is_out(0));
  rig.ejector.sweep(steady_now() + 11s);
  CHECK_FALSE(rig.is_out(0));
  rig.config.errors = 0;
  rig.use();
  rig.fail(0, 1000);
  CHECK_FALSE(rig.is_out(0));
}
