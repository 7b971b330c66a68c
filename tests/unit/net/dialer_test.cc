#include "proxy/net/dialer.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using net::Dialer;
using net::ListenSocket;
using net::SocketAddress;

namespace {

struct Caller final : net::DialEvents {
  void on_connected(std::unique_ptr<net::Transport> made) override {
    transport = std::move(made);
    ++news;
  }
  void on_dial_failed(const Error& failed) override {
    error = failed;
    ++news;
  }
  int news = 0;
  std::unique_ptr<net::Transport> transport;
  std::optional<Error> error;
};

struct Rig {
  void dial(const SocketAddress& to) {
    caller.news = 0;
    dialer->dial(to, 5s);
    CHECK(caller.news == 0);  // never from inside the call
  }
  ErrorCode fails(const SocketAddress& to) {
    dial(to);
    REQUIRE(rounds.until([this] { return caller.news > 0; }));
    REQUIRE(caller.error);
    CHECK(caller.error->detail.find(to.text()) != std::string::npos);
    return caller.error->code;
  }

  Rounds rounds;
  Caller caller;
  std::unique_ptr<Dialer> dialer = std::make_unique<Dialer>(rounds.loop(), caller);
};

// A port that was just free.
SocketAddress nobody() {
  return listening().local();
}

struct Ear final : net::TransportEvents {
  void on_readable() override { ++readable; }
  void on_writable() override {}
  int readable = 0;
};

}  // namespace

TEST_CASE("dialer: connects over TCP, and the transport works") {
  Rig rig;
  const auto listener = listening();
  rig.dial(listener.local());
  REQUIRE(rig.rounds.until([&rig] { return rig.caller.transport != nullptr; }));
  const Fd session = accepted(listener);
  Ear ear;
  rig.caller.transport->set_events(ear);
  Chain hello;
  hello.append_copy("hello");
  CHECK(rig.caller.transport->write(hello).count == 5);
  CHECK(received(session.get()) == "hello");
  say(session.get(), "back");
  REQUIRE(rig.rounds.until([&ear] { return ear.readable > 0; }));
  char buffer[8];
  CHECK(rig.caller.transport->read(buffer, sizeof buffer).count == 4);
  rig.rounds.settle();
  CHECK(rig.caller.news == 1);
}

TEST_CASE("dialer: connects to a unix path, which is there at once but told later") {
  Rig rig;
  const Folder folder;
  const auto listener = ListenSocket::open(unix_path(folder / "app.sock"), 4).value();
  rig.dial(listener.local());
  CHECK(rig.rounds.until([&rig] { return rig.caller.transport != nullptr; }));
  CHECK(rig.caller.news == 1);
}

TEST_CASE("dialer: nobody listens: refused") {
  Rig rig;
  CHECK(rig.fails(nobody()) == ErrorCode::kRefused);
  CHECK(rig.caller.error->side == Side::kUpstream);
}

TEST_CASE("dialer: a unix path that is missing, and one that is stale, are told apart") {
  Rig rig;
  const Folder folder;
  const auto missing = SocketAddress::from(unix_path(folder / "missing.sock")).value();
  CHECK(rig.fails(missing) == ErrorCode::kNotFound);
  std::optional<SocketAddress> stale;
  { stale = ListenSocket::open(unix_path(folder / "stale.sock"), 1).value().local(); }
  CHECK(rig.fails(*stale) == ErrorCode::kRefused);
}

TEST_CASE("dialer: a unix backlog that is full would block") {
  Rig rig;
  const Folder folder;
  const auto listener = ListenSocket::open(unix_path(folder / "busy.sock"), 0).value();
  std::vector<Fd> queued;
  for (int i = 0; i < 4; ++i) queued.push_back(connecting(listener.local()));
  CHECK(rig.fails(listener.local()) == ErrorCode::kWouldBlock);
}

TEST_CASE("dialer: who does not answer in time has failed") {
  Rig rig;
  auto listener = listening();
  REQUIRE(listener.hold_new_connections());  // SYNs vanish
  rig.dial(listener.local());
  rig.rounds.settle();
  rig.rounds.pass(4s);
  CHECK(rig.caller.news == 0);
  rig.rounds.pass(1s + 2ms);
  REQUIRE(rig.caller.error);
  CHECK(rig.caller.error->code == ErrorCode::kTimeout);
  rig.rounds.pass(60s);
  CHECK(rig.caller.news == 1);
}

TEST_CASE("dialer: it can dial again after either verdict") {
  Rig rig;
  CHECK(rig.fails(nobody()) == ErrorCode::kRefused);
  const auto listener = listening();
  for (int i = 0; i < 2; ++i) {
    rig.dial(listener.local());
    CHECK(rig.rounds.until([&rig] { return rig.caller.transport != nullptr; }));
    rig.caller.transport.reset();
  }
}

TEST_CASE("dialer: destroyed, it gives the attempt up and says nothing") {
  Rig rig;
  const auto listener = listening();
  SUBCASE("under way") {
    rig.dial(listener.local());
  }
  SUBCASE("settled, not told yet") {
    const Folder folder;
    const auto missing = SocketAddress::from(unix_path(folder / "missing.sock")).value();
    rig.dial(missing);
  }
  rig.dialer.reset();
  rig.rounds.settle();
  rig.rounds.pass(10s);
  CHECK(rig.caller.news == 0);
  if (const Fd session = accepted(listener); session.is_open()) CHECK(has_ended(session.get()));
}
