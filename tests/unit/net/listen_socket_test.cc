#include "proxy/net/listen_socket.h"

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using net::ListenSocket;
using net::SocketAddress;

namespace {

int state_of(const Fd& fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  REQUIRE(::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  return info.tcpi_state;
}

int error_of(const Fd& fd) {
  int number = 0;
  socklen_t size = sizeof number;
  REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &number, &size) == 0);
  return number;
}

}  // namespace

TEST_CASE("listen_socket: a port in use is refused") {
  const auto first = listening();
  const auto second = ListenSocket::open(loopback(first.local().ip_port().port), 1);
  REQUIRE_FALSE(second);
  CHECK(second.error().detail.find("Address already in use") != std::string::npos);
}

TEST_CASE("listen_socket: what is accepted sends without delay") {
  const auto listener = listening();
  const Fd client = connecting(listener.local());
  const Fd session = accepted(listener);
  REQUIRE(session.is_open());
  int one = 0;
  socklen_t size = sizeof one;
  REQUIRE(::getsockopt(session.get(), IPPROTO_TCP, TCP_NODELAY, &one, &size) == 0);
  CHECK(one == 1);
}

TEST_CASE("listen_socket: a path that nobody answers on is taken over") {
  const Folder folder;
  const std::string path = folder / "stale.sock";
  { const auto gone = ListenSocket::open(unix_path(path), 1).value(); }
  REQUIRE(std::filesystem::exists(path));
  const auto listener = ListenSocket::open(unix_path(path), 1);
  REQUIRE(listener);
  const Fd client = connecting(listener->local());
  CHECK(accepted(*listener).is_open());
}

TEST_CASE("listen_socket: a path somebody answers on is refused and left alone") {
  const Folder folder;
  const auto first = ListenSocket::open(unix_path(folder / "live.sock"), 8).value();
  CHECK_FALSE(ListenSocket::open(unix_path(folder / "live.sock"), 8));
  while (accepted(first).is_open()) {  // the probe was queued, too
  }
  const Fd client = connecting(first.local());
  CHECK(accepted(first).is_open());
}

TEST_CASE("listen_socket: a full backlog is an answer") {
  const Folder folder;
  const auto first = ListenSocket::open(unix_path(folder / "full.sock"), 0).value();
  std::vector<Fd> queued;
  for (int i = 0; i < 4; ++i) queued.push_back(connecting(first.local()));
  CHECK_FALSE(ListenSocket::open(unix_path(folder / "full.sock"), 1));
  CHECK(std::filesystem::exists(folder / "full.sock"));
}

TEST_CASE("listen_socket: what else lies at the path is not removed") {
  const Folder folder;
  SUBCASE("a file") {
    std::ofstream(folder / "x") << "precious";
    CHECK_FALSE(ListenSocket::open(unix_path(folder / "x"), 1));
    CHECK(std::filesystem::is_regular_file(folder / "x"));
  }
  SUBCASE("a live socket of another kind") {
    const Fd log(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto address = SocketAddress::from(unix_path(folder / "x")).value();
    REQUIRE(::bind(log.get(), address.data(), address.size()) == 0);
    CHECK_FALSE(ListenSocket::open(unix_path(folder / "x"), 1));
    CHECK(std::filesystem::exists(folder / "x"));
  }
}

TEST_CASE("listen_socket: held, new connections wait and queued ones are still accepted") {
  auto listener = listening();
  const Fd queued = connecting(listener.local());
  REQUIRE(state_of(queued) == TCP_ESTABLISHED);
  REQUIRE(listener.hold_new_connections());
  // On loopback a SYN is answered within connect(): an answer would be here by now.
  const Fd late = connecting(listener.local());
  CHECK(state_of(late) == TCP_SYN_SENT);
  CHECK(error_of(late) == 0);
  const Fd session = accepted(listener);
  REQUIRE(session.is_open());
  CHECK_FALSE(accepted(listener).is_open());
  say(queued.get(), "hello");
  CHECK(received(session.get()) == "hello");
  say(session.get(), "and back");
  CHECK(received(queued.get()) == "and back");
}

TEST_CASE("listen_socket: there is nothing to hold on a unix socket") {
  const Folder folder;
  auto listener = ListenSocket::open(unix_path(folder / "x"), 8).value();
  CHECK(listener.hold_new_connections());
  const Fd client = connecting(listener.local());
  CHECK(accepted(listener).is_open());
}
