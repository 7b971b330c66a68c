#include "proxy/upstream/read_watch.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <string>

#include <doctest/doctest.h>

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"

using namespace sluice;
using namespace sluice::upstream;
using namespace std::chrono_literals;

namespace {

// A listener on loopback that accepts when it is told to.
// A listener beside us that accepts when it is told to.
struct Application {
  net::SocketAddress address;
  Fd listener;

  explicit Application(const net::SocketAddress& at)
      : listener(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(::bind(listener.get(), at.data(), at.size()) == 0);
    REQUIRE(::listen(listener.get(), 8) == 0);
    address = net::SocketAddress::of_local(listener.get());
  }
  // A client's end, with four bytes sent.
  Fd begin() const {
    Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), address.data(), address.size()) == 0);
    REQUIRE(::send(fd.get(), "POST", 4, 0) == 4);
    return fd;
  }
  Fd accept() const { return Fd(::accept(listener.get(), nullptr, nullptr)); }
};

void read(const Fd& fd, size_t size) {
  char bytes[8];
  REQUIRE(::recv(fd.get(), bytes, size, 0) == static_cast<ssize_t>(size));
}

net::SocketAddress tcp(const std::string& host) {
  return *net::SocketAddress::from({host + ":0", false, host, 0});
}

struct Waiter final : ReadWaiter {
  std::function<void()> then;
  int told = 0;
  void on_read() override {
    ++told;
    if (then) then();
  }
};

struct Rig {
  Application application;
  event::Timers timers{steady_now()};
  ReadWatch watch{timers, application.address};

  explicit Rig(const net::SocketAddress& at = tcp("127.0.0.1")) : application(at) {}
  void look() { timers.advance(timers.now() + 2ms); }
};

void check_reading(Rig& rig) {
  const Fd client = rig.application.begin();
  Waiter waiter;
  REQUIRE(rig.watch.join(waiter, client.get()));
  rig.look();
  CHECK(waiter.told == 0);
  const Fd accepted = rig.application.accept();
  rig.look();
  CHECK(waiter.told == 0);
  read(accepted, 4);
  rig.look();
  CHECK(waiter.told == 1);
  CHECK(rig.watch.size() == 0);
}

}  // namespace

TEST_CASE("read watch: to be accepted is not to be read, over IPv4, IPv6 and unix sockets") {
  SUBCASE("IPv4") {
    Rig rig;
    check_reading(rig);
  }
  SUBCASE("IPv6") {
    Rig rig(tcp("::1"));
    check_reading(rig);
  }
  SUBCASE("unix") {
    const std::string path = "read_watch." + std::to_string(::getpid());
    Rig rig(*net::SocketAddress::from({"unix:" + path, true, path, 0}));
    check_reading(rig);
    ::unlink(path.c_str());
  }
}

TEST_CASE("read watch: a part that is read is not all of it") {
  Rig rig;
  const Fd client = rig.application.begin();
  const Fd accepted = rig.application.accept();
  read(accepted, 3);
  Waiter waiter;
  REQUIRE(rig.watch.join(waiter, client.get()));
  read(accepted, 1);
  rig.look();
  CHECK(waiter.told == 1);
}

TEST_CASE("read watch: what was read already is not waited for") {
  Rig rig;
  const Fd client = rig.application.begin();
  const Fd accepted = rig.application.accept();
  read(accepted, 4);
  Waiter waiter;
  CHECK_FALSE(rig.watch.join(waiter, client.get()));
  CHECK(rig.watch.size() == 0);
}

TEST_CASE("read watch: who leaves is not told, not even by what another is told") {
  Rig rig;
  const Fd first = rig.application.begin();
  const Fd second = rig.application.begin();
  Waiter one;
  Waiter two;
  one.then = [&] { rig.watch.leave(two); };
  REQUIRE(rig.watch.join(one, first.get()));
  REQUIRE(rig.watch.join(two, second.get()));
  const Fd accepted = rig.application.accept();
  const Fd accepted_too = rig.application.accept();
  read(accepted, 4);
  read(accepted_too, 4);
  rig.look();
  CHECK(one.told == 1);
  CHECK(two.told == 0);
  CHECK(rig.watch.size() == 0);
}

TEST_CASE("read watch: of many everyone's turn comes") {
  Rig rig;
  constexpr size_t kMany = 8;
  std::array<Fd, kMany * 9> clients;
  std::array<Fd, kMany * 9> accepted;
  std::array<Waiter, kMany * 9> waiters;
  for (size_t i = 0; i < clients.size(); ++i) {
    clients[i] = rig.application.begin();
    accepted[i] = rig.application.accept();
    REQUIRE(rig.watch.join(waiters[i], clients[i].get()));
  }
  read(accepted.back(), 4);
  for (size_t i = 0; i < clients.size(); ++i) rig.look();
  CHECK(waiters.back().told == 1);
  CHECK(rig.watch.size() == clients.size() - 1);
}

TEST_CASE("read watch: a connection whose other end is gone stays unread") {
  Rig rig;
  Fd client = rig.application.begin();
  Waiter waiter;
  SUBCASE("reset before it was accepted") {
    rig.application.listener.reset();
    CHECK(rig.watch.join(waiter, client.get()));
  }
  SUBCASE("closed when it was waited for") {
    Fd accepted = rig.application.accept();
    REQUIRE(rig.watch.join(waiter, client.get()));
    accepted.reset();
  }
  SUBCASE("half-closed") {
    const Fd accepted = rig.application.accept();
    REQUIRE(::shutdown(accepted.get(), SHUT_WR) == 0);
    REQUIRE(rig.watch.join(waiter, client.get()));
    read(accepted, 4);
  }
  rig.look();
  CHECK(waiter.told == 0);
  rig.watch.leave(waiter);
}

TEST_CASE("read watch: what the kernel does not show is not waited for") {
  Rig rig;
  const Fd client = rig.application.begin();
  Waiter waiter;
  // As if the address had been translated on the way.
  const net::SocketAddress other = tcp("127.0.0.9");
  ReadWatch translated(rig.timers, other);
  CHECK_FALSE(translated.join(waiter, client.get()));
  const net::SocketAddress elsewhere = tcp("10.0.0.1");
  ReadWatch far(rig.timers, elsewhere);
  CHECK(far.is_blind());
  CHECK_FALSE(far.join(waiter, client.get()));
}
