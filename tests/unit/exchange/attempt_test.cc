#include "proxy/exchange/attempt.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::exchange;
using namespace sluice::testing;
using namespace std::chrono_literals;
using Delivery = http::ClientStream::Delivery;

namespace {

struct Watcher final : AttemptEvents {
  void on_leased() override { ++leased; }
  void on_interim(http::ResponseHead&&) override {}
  void on_head(http::ResponseHead&& its) override { status = its.status; }
  void on_upstream_readable() override {
    Chain bytes;
    (void)attempt->stream().read_body(bytes, 1000);
    body += bytes.to_string();
  }
  void on_upstream_writable() override {}
  void on_late() override { ++late; }
  void on_attempt_failed(const Failure& its) override {
    failure = its;
    ++failures;
  }
  Attempt* attempt = nullptr;
  int leased = 0;
  int status = 0;
  int failures = 0;
  int late = 0;
  std::string body;
  std::optional<Failure> failure;
};

struct Rig : ClusterRig {
  explicit Rig(size_t origin_count = 1) : ClusterRig(origin_count) {}
  std::optional<Failure> begin() {
    if (cluster == nullptr) start();
    watcher = {};
    attempt = std::make_unique<Attempt>(rounds.loop(), *cluster, watcher);
    watcher.attempt = attempt.get();
    return attempt->start({});
  }
  void lease() {
    REQUIRE_FALSE(begin());
    REQUIRE(until([this] { return attempt->is_leased(); }));
  }
  void ask() {
    http::RequestHead head;
    head.method = "GET";
    head.target = "/";
    head.authority = "h";
    attempt->stream().send_head(head);
    attempt->stream().send_end();
    attempt->stream().flush();
    attempt->expect_head();
  }
  // The request has come to the origin.
  Fd& asked() {
    ask();
    origins[0]->answers = false;
    REQUIRE(until([this] {
      return !origins[0]->sessions.empty() && !origins[0]->sessions.back().in.empty();
    }));
    return origins[0]->sessions.back().fd;
  }
  const Failure& failure() {
    REQUIRE(until([this] { return watcher.failure.has_value(); }));
    settle();
    CHECK(watcher.failures == 1);
    CHECK_FALSE(attempt->is_leased());
    return *watcher.failure;
  }
  bool holds_nothing() { return cluster->pool(0).in_flight() == 0 && cluster->waiting() == 0; }

  Watcher watcher;
  std::unique_ptr<Attempt> attempt;
};

}  // namespace

TEST_CASE("attempt: a new connection is told of, an idle one is there at once") {
  Rig rig;
  REQUIRE_FALSE(rig.begin());
  CHECK_FALSE(rig.attempt->is_leased());
  REQUIRE(rig.until([&rig] { return rig.watcher.leased == 1; }));
  CHECK(rig.attempt->is_leased());
  rig.ask();
  REQUIRE(rig.until([&rig] { return rig.watcher.status == 200; }));
  Chain body;
  CHECK(rig.attempt->stream().read_body(body, 1) == http::BodyRead::kEnd);
  rig.attempt->finish();
  CHECK(rig.holds_nothing());
  CHECK(rig.cluster->pool(0).idle() == 1);
  REQUIRE_FALSE(rig.begin());
  CHECK(rig.attempt->is_leased());
  rig.settle();
  CHECK(rig.watcher.leased == 0);
}

TEST_CASE("attempt: a dial that fails was never sent") {
  Rig rig(0);
  rig.add_endpoint(listening().local());
  rig.config().hold.timeout = 0s;  // or it would wait for the application
  REQUIRE_FALSE(rig.begin());
  const Failure& failure = rig.failure();
  CHECK(failure.stage == Stage::kConnect);
  CHECK(failure.error.code == ErrorCode::kRefused);
  CHECK(failure.delivery == Delivery::kNotSent);
  CHECK(failure.endpoint == &rig.endpoint());
  CHECK(rig.holds_nothing());
}

TEST_CASE("attempt: an endpoint that is away is waited for, and that has an end") {
  Rig rig(0);
  rig.add_endpoint(listening().local());
  REQUIRE_FALSE(rig.begin());
  rig.settle();
  CHECK(rig.attempt->is_waiting());
  CHECK(rig.watcher.failures == 0);
  SUBCASE("its time is over") {
    rig.rounds.pass(21s);
    const Failure& failure = rig.failure();
    CHECK(failure.stage == Stage::kHeld);
    CHECK(failure.endpoint == nullptr);
    CHECK(failure.delivery == Delivery::kNotSent);
  }
  SUBCASE("there is no room for another") {
    rig.config().hold.requests = 1;
    rig.cluster->reconfigure(rig.definition);
    rig.settle();
    Watcher other;
    Attempt second(rig.rounds.loop(), *rig.cluster, other);
    const auto failure = second.start({});
    REQUIRE(failure);
    CHECK(failure->stage == Stage::kHeld);
    CHECK(failure->error.code == ErrorCode::kOverloaded);
  }
}

TEST_CASE("attempt: what is known at once is returned, not told") {
  Rig rig;
  rig.config().max_in_flight = 1;
  rig.config().hold.requests = 0;
  rig.start();
  Borrower holder;
  static_cast<ClusterRig&>(rig).lease(holder);
  const auto failure = rig.begin();
  REQUIRE(failure);
  CHECK(failure->error.code == ErrorCode::kOverloaded);
  CHECK(failure->stage == Stage::kQueue);
  CHECK(failure->endpoint == nullptr);
  rig.settle();
  CHECK(rig.watcher.failures == 0);
}

TEST_CASE("attempt: time runs out in the queue") {
  Rig rig;
  rig.config().max_in_flight = 1;
  rig.start();
  Borrower holder;
  static_cast<ClusterRig&>(rig).lease(holder);
  REQUIRE_FALSE(rig.begin());
  rig.settle();
  rig.rounds.pass(21s);
  const Failure& failure = rig.failure();
  CHECK(failure.stage == Stage::kQueue);
  CHECK(failure.error.code == ErrorCode::kTimeout);
  CHECK(failure.delivery == Delivery::kNotSent);
  CHECK(failure.endpoint == nullptr);
}

TEST_CASE("attempt: an application that does not answer, and one that stops within its answer") {
  Rig rig;
  rig.lease();
  Fd& origin = rig.asked();
  SUBCASE("nothing") {
    rig.rounds.pass(59s);
    CHECK(rig.watcher.failures == 0);
    rig.rounds.pass(2s);
    CHECK(rig.failure().stage == Stage::kFirstByte);
  }
  SUBCASE("a head, and no body") {
    say(origin.get(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    REQUIRE(rig.until([&rig] { return rig.watcher.status == 200; }));
    rig.rounds.pass(120s);  // who reads says what is expected
    CHECK(rig.watcher.failures == 0);
    rig.attempt->expect_bytes();
    rig.rounds.pass(61s);
    CHECK(rig.failure().stage == Stage::kBody);
  }
  CHECK(rig.watcher.failure->error.code == ErrorCode::kTimeout);
  CHECK(rig.watcher.failure->error.side == Side::kUpstream);
  CHECK(rig.watcher.failure->endpoint == &rig.endpoint());
  CHECK(rig.holds_nothing());
  CHECK(rig.cluster->pool(0).connections() == 0);
}

TEST_CASE("attempt: the time to answer begins when the request is with the application") {
  Rig rig;
  rig.config().timeouts.send = 300s;
  rig.lease();
  rig.origins[0]->answers = false;
  http::RequestHead head;
  head.method = "POST";
  head.target = "/";
  head.authority = "h";
  const std::string body(32 << 20, 'x');
  head.body = http::BodySize::exactly(body.size());
  rig.attempt->stream().send_head(head);
  Chain bytes;
  bytes.append_copy(body);
  rig.attempt->stream().send_body(std::move(bytes));
  rig.attempt->stream().send_end();
  rig.attempt->stream().flush();
  rig.attempt->expect_head();
  REQUIRE(rig.attempt->stream().unsent() > 0);
  rig.rounds.pass(100s);  // nobody reads it
  CHECK(rig.watcher.failures == 0);
  REQUIRE(rig.until([&rig] { return rig.attempt->stream().unsent() == 0; }));
  rig.settle();
  rig.rounds.pass(59s);
  CHECK(rig.watcher.failures == 0);
  rig.rounds.pass(2s);
  CHECK(rig.failure().stage == Stage::kFirstByte);
}

TEST_CASE("attempt: a slow try is told of once, and still has all of its time") {
  Rig rig;
  rig.config().retry.per_try = 2s;
  rig.lease();
  rig.asked();
  rig.rounds.pass(1s);
  CHECK(rig.watcher.late == 0);
  rig.rounds.pass(2s);
  CHECK(rig.watcher.late == 1);
  CHECK(rig.attempt->is_leased());
  rig.rounds.pass(55s);
  CHECK(rig.watcher.late == 1);
  CHECK(rig.watcher.failures == 0);
  rig.rounds.pass(10s);
  CHECK(rig.failure().error.code == ErrorCode::kTimeout);
}

TEST_CASE("attempt: per_try says nothing where it is not shorter, or an answer has begun") {
  Rig rig;
  SUBCASE("longer than first_byte") {
    rig.config().retry.per_try = 100s;
    rig.lease();
    rig.asked();
    rig.rounds.pass(61s);
    CHECK(rig.failure().stage == Stage::kFirstByte);
  }
  SUBCASE("answered") {
    rig.config().retry.per_try = 2s;
    rig.lease();
    Fd& origin = rig.asked();
    say(origin.get(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    REQUIRE(rig.until([&rig] { return rig.watcher.status == 200; }));
    rig.rounds.pass(10s);
  }
  CHECK(rig.watcher.late == 0);
}

TEST_CASE("attempt: the endpoint hears of an answer, and of one that never came") {
  using upstream::EndpointState;
  Rig rig;
  rig.lease();
  Fd& origin = rig.asked();
  SUBCASE("answered") {
    say(origin.get(), "HTTP/1.1 204 X\r\n\r\n");
    REQUIRE(rig.until([&rig] { return rig.watcher.status == 204; }));
    CHECK(rig.endpoint().state() == EndpointState::kReady);
  }
  SUBCASE("closed on a connection made for the request") {
    origin.reset();
    rig.failure();
    CHECK(rig.endpoint().state() == EndpointState::kSuspect);
  }
  SUBCASE("an answer that cannot be understood is one") {
    say(origin.get(), "nonsense\r\n\r\n");
    rig.failure();
    CHECK(rig.endpoint().state() != EndpointState::kSuspect);
  }
}

TEST_CASE("attempt: an idle connection that breaks is no fault of the endpoint") {
  Rig rig;
  rig.lease();
  rig.ask();
  REQUIRE(rig.until([&rig] { return rig.watcher.status == 200; }));
  Chain body;
  REQUIRE(rig.attempt->stream().read_body(body, 1) == http::BodyRead::kEnd);
  rig.attempt->finish();
  REQUIRE_FALSE(rig.begin());
  REQUIRE(rig.attempt->is_leased());
  rig.ask();
  rig.origins[0]->sessions.clear();
  CHECK_FALSE(rig.failure().fresh);
  CHECK(rig.endpoint().state() == upstream::EndpointState::kReady);
}

TEST_CASE("attempt: nothing is expected while the client is the slow one") {
  Rig rig;
  rig.lease();
  rig.asked();
  rig.attempt->expect_bytes();
  rig.attempt->expect_nothing();
  rig.rounds.pass(600s);
  CHECK(rig.watcher.failures == 0);
}

TEST_CASE("attempt: an application that closes before its answer, and within it") {
  Rig rig;
  rig.lease();
  Fd& origin = rig.asked();
  SUBCASE("before") {
    origin.reset();
    CHECK(rig.failure().stage == Stage::kFirstByte);
    CHECK(rig.watcher.failure->delivery == Delivery::kUnknown);  // it may have been carried out
  }
  SUBCASE("within") {
    say(origin.get(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    REQUIRE(rig.until([&rig] { return rig.watcher.status == 200; }));
    rig.watcher.on_upstream_readable();
    origin.reset();
    REQUIRE(rig.until([&rig] {
      if (rig.watcher.failures == 0) rig.watcher.on_upstream_readable();
      return rig.watcher.failures > 0;
    }));
    CHECK(rig.failure().stage == Stage::kBody);
    CHECK(rig.watcher.body == "half");
  }
  CHECK(rig.holds_nothing());
}

TEST_CASE("attempt: given up, it holds nothing and is heard of no more") {
  Rig rig;
  rig.config().max_in_flight = 1;
  std::optional<Borrower> holder;
  bool is_leased = false;
  SUBCASE("in the queue") {
    rig.start();
    static_cast<ClusterRig&>(rig).lease(holder.emplace());
    REQUIRE_FALSE(rig.begin());
    CHECK(rig.cluster->waiting() == 1);
  }
  SUBCASE("while dialling") {
    REQUIRE_FALSE(rig.begin());
  }
  SUBCASE("with a stream") {
    rig.lease();
    is_leased = true;
  }
  SUBCASE("with a request on its way") {
    rig.lease();
    is_leased = true;
    rig.asked();
  }
  SUBCASE("before it began") {
    rig.start();
    rig.attempt = std::make_unique<Attempt>(rig.rounds.loop(), *rig.cluster, rig.watcher);
  }
  const int told = rig.watcher.leased;
  rig.attempt->abandon();
  rig.attempt->abandon();
  CHECK(rig.cluster->waiting() == 0);
  rig.attempt.reset();
  holder.reset();
  rig.settle();
  rig.rounds.pass(600s);
  CHECK(rig.watcher.leased == told);
  CHECK(rig.watcher.failures == 0);
  CHECK((rig.watcher.leased == 1) == is_leased);
  CHECK(rig.holds_nothing());
  CHECK(rig.endpoint().inside() == 0);
}
