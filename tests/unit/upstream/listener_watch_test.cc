#include "proxy/upstream/listener_watch.h"

#include <memory>
#include <optional>
#include <string>

#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/unit/upstream/lookout_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using net::ListenerLook;
using upstream::Endpoint;
using upstream::EndpointNews;
using upstream::EndpointState;
using upstream::ListenerWatch;
using Seen = ListenerLook::Seen;

namespace {

struct Rig {
  Rig() : Rig(nobody_there()) {}
  explicit Rig(const net::SocketAddress& address)
      : endpoint(endpoint_at(address)), watch(rounds.loop(), table) {}

  // A beat, `later` after the one before.
  EndpointState beat(Duration later = 20ms) {
    now += later;
    watch.beat(now);
    return endpoint->state();
  }
  EndpointState say(Seen seen, Duration later = 20ms) {
    table.said[endpoint->address().text()].seen = seen;
    return beat(later);
  }
  void be_ready() { endpoint->note(EndpointNews::kAnswered); }

  Rounds rounds;
  FakeTable table;
  std::shared_ptr<Endpoint> endpoint;
  ListenerWatch watch;
  TimePoint now = rounds.loop().now();
};

}  // namespace

TEST_CASE("listener watch: a listener that goes holds, one that comes releases") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  CHECK(rig.say(Seen::kThere) == EndpointState::kStarting);
  rig.be_ready();
  CHECK(rig.say(Seen::kThere) == EndpointState::kReady);
  CHECK(rig.watch.interval() == 20ms);
  CHECK(rig.say(Seen::kAbsent) == EndpointState::kHolding);
  CHECK(rig.beat() == EndpointState::kHolding);
  CHECK(rig.watch.interval() == 5ms);
  CHECK(rig.say(Seen::kThere, 5ms) == EndpointState::kStarting);
  CHECK(rig.beat(5ms) == EndpointState::kStarting);
  CHECK(rig.watch.interval() == 20ms);
  CHECK(rig.watch.probes() == 0);
}

TEST_CASE("listener watch: a table that can be relied on is believed before anything was seen") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  CHECK(rig.say(Seen::kAbsent) == EndpointState::kHolding);
}

TEST_CASE("listener watch: what was never seen and may be elsewhere is not absent") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  CHECK(rig.say(Seen::kUnknown) == EndpointState::kStarting);
  rig.be_ready();
  CHECK(rig.say(Seen::kUnknown) == EndpointState::kReady);
  CHECK(rig.watch.probes() == 0);
}

TEST_CASE("listener watch: what was seen, and is no longer found, is gone") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  rig.say(Seen::kThere);
  rig.be_ready();
  CHECK(rig.say(Seen::kUnknown) == EndpointState::kHolding);
}

TEST_CASE("listener watch: a refused dial holds; the row that is still there releases") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  rig.say(Seen::kThere);
  rig.endpoint->note(EndpointNews::kRefused);
  CHECK(rig.beat() == EndpointState::kStarting);
}

TEST_CASE("listener watch: a row that three dials gave the lie is doubted for ten seconds") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  for (int i = 0; i < 3; ++i) {
    rig.endpoint->note(EndpointNews::kRefused);
    CHECK(rig.say(Seen::kThere, 5ms) == EndpointState::kStarting);
  }
  rig.endpoint->note(EndpointNews::kRefused);
  CHECK(rig.beat(5ms) == EndpointState::kHolding);
  // Now it is connected to, and nobody is there.
  for (int i = 0; i < 10; ++i) rig.beat(50ms);
  CHECK(rig.endpoint->state() == EndpointState::kHolding);
  CHECK(rig.watch.probes() > 0);
  CHECK(rig.beat(10s) == EndpointState::kStarting);
}

TEST_CASE("listener watch: an answer between them is no lie, nor is a listener that went") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  for (int i = 0; i < 10; ++i) {
    rig.endpoint->note(EndpointNews::kRefused);
    CHECK(rig.say(Seen::kThere, 5ms) == EndpointState::kStarting);
    if (i % 2 == 0) {
      rig.be_ready();
      rig.beat();
    } else {
      CHECK(rig.say(Seen::kAbsent) == EndpointState::kHolding);
    }
    rig.say(Seen::kThere, 5ms);
  }
  CHECK(rig.watch.probes() == 0);
}

TEST_CASE("listener watch: who answers without being seen is connected to, and looked at no more") {
  const auto listener = listening();
  Rig rig(listener.local());
  rig.watch.watch(rig.endpoint);
  rig.be_ready();
  for (int i = 0; i < 4; ++i) CHECK(rig.say(Seen::kAbsent) == EndpointState::kReady);
  CHECK(rig.watch.probes() == 1);
  rig.rounds.settle();
  const int looks = rig.table.looks;
  for (int i = 0; i < 10; ++i) CHECK(rig.say(Seen::kAbsent) == EndpointState::kReady);
  CHECK(rig.table.looks == looks);
  CHECK(rig.watch.probes() == 1);
}

TEST_CASE("listener watch: who answered and went before the first look is held for") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  rig.be_ready();
  for (int i = 0; i < 4; ++i) rig.say(Seen::kAbsent);
  CHECK(rig.watch.probes() == 1);
  CHECK(rig.rounds.until([&rig] { return rig.endpoint->state() == EndpointState::kHolding; }));
}

TEST_CASE("listener watch: a full accept queue is told, and told to be over") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  auto& said = rig.table.said[rig.endpoint->address().text()];
  said = {Seen::kThere, 6, 5};
  rig.beat();
  CHECK(rig.endpoint->backlog_is_full());
  said = {Seen::kThere, 5, 5};
  rig.beat();
  CHECK_FALSE(rig.endpoint->backlog_is_full());
  said = {Seen::kThere, 6, 5};
  rig.beat();
  rig.say(Seen::kAbsent);
  said = {};
  rig.beat();
  CHECK_FALSE(rig.endpoint->backlog_is_full());
}

TEST_CASE("listener watch: what is drained is left alone") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  rig.endpoint->note(EndpointNews::kDrained);
  CHECK(rig.say(Seen::kAbsent) == EndpointState::kDraining);
  CHECK(rig.table.looks == 0);
}

TEST_CASE("listener watch: only a check releases who has to pass one first") {
  Rig rig;
  rig.endpoint->note(EndpointNews::kListensNot);
  rig.watch.watch(rig.endpoint, ListenerWatch::Release::kByCheck);
  for (int i = 0; i < 20; ++i) CHECK(rig.say(Seen::kThere) == EndpointState::kHolding);
  CHECK(rig.watch.probes() == 0);
  rig.endpoint->note(EndpointNews::kChecksWell);
  rig.beat();
  CHECK(rig.say(Seen::kAbsent) == EndpointState::kHolding);
  CHECK(rig.say(Seen::kThere) == EndpointState::kStarting);
}

TEST_CASE("listener watch: another host is connected to only while it is away") {
  const auto listener = listening();
  Rig rig(listener.local());
  rig.table.is_able = false;
  rig.watch.watch(rig.endpoint);
  for (int i = 0; i < 20; ++i) rig.beat();
  rig.be_ready();
  for (int i = 0; i < 20; ++i) rig.beat();
  CHECK(rig.watch.probes() == 0);
  CHECK(rig.table.looks == 0);
  rig.endpoint->note(EndpointNews::kRefused);
  rig.beat();
  CHECK(rig.watch.probes() == 0);  // not at once: it was refused just now
  rig.beat(5ms);
  CHECK(rig.watch.probes() == 1);
  REQUIRE(rig.rounds.until([&rig] { return rig.endpoint->state() == EndpointState::kStarting; }));
  const Fd session = accepted(listener);
  CHECK(has_ended(session.get()));  // closed, and nothing said
}

TEST_CASE("listener watch: connecting to who stays away slows down") {
  Rig rig;
  rig.table.is_able = false;
  rig.watch.watch(rig.endpoint);
  rig.endpoint->note(EndpointNews::kRefused);
  const auto tried_in = [&rig](Duration time, Duration step) {
    const uint64_t before = rig.watch.probes();
    for (Duration passed{0}; passed < time; passed += step) {
      rig.beat(step);
      // Each ends before the next beat: refused at once on the loopback.
      rig.rounds.settle();
    }
    return rig.watch.probes() - before;
  };
  const uint64_t soon = tried_in(1s, 5ms);
  CHECK(soon >= 20);
  CHECK(soon <= 25);
  tried_in(20s, 50ms);
  CHECK(tried_in(10s, 20ms) <= 11);
  CHECK(tried_in(10s, 20ms) >= 9);
}

TEST_CASE("listener watch: what a packet filter redirects is found by connecting, seldom") {
  // The table says that nobody listens here, and somebody answers.
  const auto listener = listening();
  Rig rig(listener.local());
  rig.watch.watch(rig.endpoint);
  CHECK(rig.say(Seen::kAbsent) == EndpointState::kHolding);
  for (int i = 0; i < 100; ++i) rig.beat(5ms);
  CHECK(rig.watch.probes() == 0);
  for (int i = 0; i < 105; ++i) rig.beat(5ms);
  CHECK(rig.watch.probes() == 1);
  REQUIRE(rig.rounds.until([&rig] { return rig.endpoint->state() == EndpointState::kStarting; }));
  const int looks = rig.table.looks;
  CHECK(rig.beat() == EndpointState::kStarting);
  CHECK(rig.table.looks == looks);  // not believed again
}

TEST_CASE("listener watch: a unix path that is made anew is tried at once") {
  const Folder folder;
  const std::string path = folder / "app.sock";
  const auto address = net::SocketAddress::from(unix_path(path)).value();
  Rig rig(address);
  rig.table.is_able = false;  // as in another network namespace
  rig.watch.watch(rig.endpoint);
  rig.endpoint->note(EndpointNews::kRefused);
  for (int i = 0; i < 1000; ++i) {
    rig.now += 20ms;
    rig.watch.beat(rig.now);
    rig.rounds.settle();
  }
  REQUIRE(rig.endpoint->state() == EndpointState::kHolding);
  const auto listener = net::ListenSocket::open(unix_path(path), 5).value();
  CHECK(rig.rounds.until([&rig] { return rig.endpoint->state() == EndpointState::kStarting; }));
}

TEST_CASE("listener watch: nothing is done for who is not watched any more") {
  Rig rig;
  rig.watch.watch(rig.endpoint);
  rig.watch.watch(rig.endpoint);
  CHECK(rig.watch.size() == 1);
  rig.say(Seen::kThere);
  rig.watch.unwatch(*rig.endpoint);
  rig.watch.unwatch(*rig.endpoint);
  CHECK(rig.watch.size() == 0);
  const int looks = rig.table.looks;
  CHECK(rig.say(Seen::kAbsent) == EndpointState::kStarting);
  CHECK(rig.table.looks == looks);
  CHECK(rig.table.forgotten == std::vector<std::string>{rig.endpoint->address().text()});
}

TEST_CASE("listener watch: beats by itself, with the kernel's own table") {
  Rounds rounds;
  net::ListenerTable table;
  if (table.tcp_source() == net::ListenerTable::Source::kNone) return;
  auto listener = std::make_unique<net::ListenSocket>(listening());
  const auto address = listener->local();
  const auto endpoint = endpoint_at(address);
  ListenerWatch watch(rounds.loop(), table);
  watch.watch(endpoint);
  endpoint->note(EndpointNews::kRefused);
  REQUIRE(rounds.until([&] { return endpoint->state() == EndpointState::kStarting; }));
  endpoint->note(EndpointNews::kAnswered);
  listener.reset();
  REQUIRE(rounds.until([&] { return endpoint->state() == EndpointState::kHolding; }));
  const auto port = address.ip_port().port;
  const auto back = net::ListenSocket::open(loopback(port), 5);
  REQUIRE(back);
  REQUIRE(rounds.until([&] { return endpoint->state() == EndpointState::kStarting; }));
  CHECK_FALSE(accepted(*back).is_open());  // nobody has connected
}
