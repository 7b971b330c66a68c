#include <fcntl.h>

#include <memory>

#include <doctest/doctest.h>

#include "proxy/net/listen_socket.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using net::ListenSocket;

namespace {

struct Claim final : net::SocketClaim {
  explicit Claim(bool& told) : gone(told) {}
  ~Claim() override { gone = true; }
  bool& gone;
};

}  // namespace

TEST_CASE("listen_socket: an adopted one keeps its address and who waits in its queue") {
  auto first = std::make_unique<ListenSocket>(listening());
  const auto address = first->local();
  const Fd early = connecting(address);
  Fd duplicate(::dup(first->descriptor()));
  first.reset();
  const auto adopted = ListenSocket::adopt(std::move(duplicate), 16);
  REQUIRE(adopted);
  CHECK(adopted->local().text() == address.text());
  CHECK((::fcntl(adopted->descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(accepted(*adopted).is_open());
  const Fd late = connecting(address);
  CHECK(accepted(*adopted).is_open());
}

TEST_CASE("listen_socket: adopted from one who held new connections, it takes them again") {
  auto first = listening();
  REQUIRE(first.hold_new_connections());
  const auto adopted = ListenSocket::adopt(Fd(::dup(first.descriptor())), 16).value();
  const Fd late = connecting(adopted.local());
  CHECK(accepted(adopted).is_open());
}

TEST_CASE("listen_socket: bound and not listening yet, it listens when adopted") {
  const auto address = net::SocketAddress::from(loopback()).value();
  Fd bound(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(bound.get(), address.data(), address.size()) == 0);
  const auto adopted = ListenSocket::adopt(std::move(bound), 16).value();
  CHECK_FALSE(accepted(adopted).is_open());  // it does not block either
  const Fd late = connecting(adopted.local());
  CHECK(accepted(adopted).is_open());
}

TEST_CASE("listen_socket: what cannot listen is refused") {
  CHECK_FALSE(ListenSocket::adopt(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), 16));
  CHECK_FALSE(ListenSocket::adopt(Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 16));
  CHECK_FALSE(ListenSocket::adopt(Fd(), 16));
}

TEST_CASE("listen_socket: whoever claimed it hears of its end, wherever it was moved") {
  bool gone = false;
  {
    auto first = listening();
    first.claim(std::make_unique<Claim>(gone));
    const ListenSocket second = std::move(first);
    CHECK_FALSE(gone);
  }
  CHECK(gone);
}
