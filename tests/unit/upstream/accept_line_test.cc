#include "proxy/upstream/accept_line.h"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>

#include <doctest/doctest.h>

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"

using namespace sluice;
using namespace sluice::upstream;
using namespace std::chrono_literals;
using Until = AcceptLine::Until;

namespace {

// A listener on loopback that accepts when it is told to.
struct Application {
  Fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  net::SocketAddress address;

  Application() {
    const auto any = net::SocketAddress::from({"127.0.0.1:0", false, "127.0.0.1", 0});
    REQUIRE(::bind(listener.get(), any->data(), any->size()) == 0);
    REQUIRE(::listen(listener.get(), 8) == 0);
    address = net::SocketAddress::of_local(listener.get());
  }
  Fd connect() const {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), address.data(), address.size()) == 0);
    return fd;
  }
  Fd accept() const { return Fd(::accept(listener.get(), nullptr, nullptr)); }
};

struct Waiter final : AcceptWaiter {
  std::function<void()> then;
  int told = 0;
  void on_accepted() override {
    ++told;
    if (then) then();
  }
};

struct Rig {
  Application application;
  event::Timers timers{steady_now()};
  AcceptLine line{timers, application.address};

  void look() { timers.advance(timers.now() + 2ms); }
};

}  // namespace

TEST_CASE("accept line: who has been accepted already need not wait") {
  Rig rig;
  const Fd client = rig.application.connect();
  const Fd accepted = rig.application.accept();
  Waiter waiter;
  CHECK_FALSE(rig.line.join(waiter, client.get(), Until::kAccepted));
  CHECK(rig.line.size() == 0);
}

TEST_CASE("accept line: who has not been is told when it is") {
  Rig rig;
  const Fd first = rig.application.connect();
  const Fd second = rig.application.connect();
  Waiter one;
  Waiter two;
  REQUIRE(rig.line.join(one, first.get(), Until::kAccepted));
  REQUIRE(rig.line.join(two, second.get(), Until::kAccepted));
  rig.look();
  CHECK(one.told + two.told == 0);
  const Fd accepted = rig.application.accept();
  rig.look();
  CHECK(one.told == 1);
  CHECK(two.told == 0);
  const Fd accepted_too = rig.application.accept();
  rig.look();
  CHECK(two.told == 1);
  CHECK(rig.line.size() == 0);
}

TEST_CASE("accept line: to be read is more than to be accepted") {
  Rig rig;
  const Fd client = rig.application.connect();
  REQUIRE(::send(client.get(), "abcd", 4, 0) == 4);
  Waiter waiter;
  REQUIRE(rig.line.join(waiter, client.get(), Until::kRead));
  const Fd accepted = rig.application.accept();
  rig.look();
  CHECK(waiter.told == 0);
  char bytes[4];
  REQUIRE(::recv(accepted.get(), bytes, 3, 0) == 3);
  rig.look();
  CHECK(waiter.told == 0);
  REQUIRE(::recv(accepted.get(), bytes, 1, 0) == 1);
  rig.look();
  CHECK(waiter.told == 1);
}

TEST_CASE("accept line: who leaves is not told, not even by what another is told") {
  Rig rig;
  const Fd first = rig.application.connect();
  const Fd second = rig.application.connect();
  Waiter one;
  Waiter two;
  one.then = [&] { rig.line.leave(two); };
  REQUIRE(rig.line.join(one, first.get(), Until::kAccepted));
  REQUIRE(rig.line.join(two, second.get(), Until::kAccepted));
  const Fd accepted = rig.application.accept();
  const Fd accepted_too = rig.application.accept();
  rig.look();
  CHECK(one.told == 1);
  CHECK(two.told == 0);
  CHECK(rig.line.size() == 0);
}

TEST_CASE("accept line: what the kernel does not show is not waited for") {
  Rig rig;
  Waiter waiter;
  Fd client = rig.application.connect();
  rig.application.listener.reset();  // which resets what it has not accepted
  CHECK_FALSE(rig.line.join(waiter, client.get(), Until::kAccepted));
  const net::SocketAddress elsewhere =
      *net::SocketAddress::from({"10.0.0.1:80", false, "10.0.0.1", 80});
  AcceptLine far(rig.timers, elsewhere);
  CHECK_FALSE(far.join(waiter, client.get(), Until::kAccepted));
}
