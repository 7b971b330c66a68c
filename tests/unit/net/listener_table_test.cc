#include "proxy/net/listener_table.h"

#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using net::ListenerTable;
using net::SocketAddress;
using Seen = net::ListenerLook::Seen;
using Source = ListenerTable::Source;

namespace {

SocketAddress at(const std::string& host, uint16_t port) {
  return SocketAddress::from({host, false, host, port}).value();
}

SocketAddress at_path(const std::string& path) {
  return SocketAddress::from(unix_path(path)).value();
}

// A listener as an application makes one; nullopt where the family is not there.
std::optional<Fd> listener(const SocketAddress& address, int backlog = 5) {
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.is_open() || ::bind(fd.get(), address.data(), address.size()) != 0) return {};
  REQUIRE(::listen(fd.get(), backlog) == 0);
  return fd;
}

uint16_t port_of(const Fd& fd) {
  return SocketAddress::of_local(fd.get()).ip_port().port;
}

// What every source must see.
void check_tcp(ListenerTable& table) {
  for (const char* host : {"127.0.0.1", "0.0.0.0", "::"}) {
    CAPTURE(host);
    auto fd = listener(at(host, 0));
    if (!fd) continue;
    const SocketAddress asked = at("127.0.0.1", port_of(*fd));
    CHECK(table.can_look_at(asked));
    CHECK(table.look(asked).seen == Seen::kThere);
    CHECK(table.look(at("0.0.0.0", port_of(*fd))).seen == Seen::kThere);
    const Fd waiting = connecting(asked);
    CHECK(table.look(asked).queued == 1);
    // What it accepted is no listener, also after the listener has gone.
    const Fd session(::accept(fd->get(), nullptr, nullptr));
    CHECK(table.look(asked).queued == 0);
    fd.reset();
    CHECK(table.look(asked).seen == Seen::kAbsent);
  }
}

void check_unix(ListenerTable& table, Seen stale) {
  const Folder folder;
  const std::string path = folder / "app.sock";
  const SocketAddress address = at_path(path);
  REQUIRE(table.can_look_at(address));
  CHECK(table.look(address).seen == Seen::kAbsent);
  auto fd = listener(address);
  REQUIRE(fd);
  CHECK(table.look(address).seen == Seen::kThere);
  CHECK(table.look(address).seen == Seen::kThere);
  fd.reset();  // as after SIGKILL: the path stays
  CHECK(table.look(address).seen == stale);
  ::unlink(path.c_str());
  CHECK(table.look(address).seen == Seen::kAbsent);
  const auto again = listener(address);
  CHECK(table.look(address).seen == Seen::kThere);
  table.forget(address);
  CHECK(table.look(address).seen == Seen::kThere);
}

}  // namespace

TEST_CASE("listener table: TCP listeners are seen by sock_diag") {
  ListenerTable table;
  if (table.tcp_source() != Source::kDiag) return;
  check_tcp(table);
}

TEST_CASE("listener table: TCP listeners are seen in /proc/net") {
  ListenerTable table;
  table.prefer_proc();
  if (table.tcp_source() != Source::kProc) return;
  check_tcp(table);
}

TEST_CASE("listener table: some source of TCP listeners is there") {
  CHECK(ListenerTable().tcp_source() != Source::kNone);
}

TEST_CASE("listener table: unix listeners are seen by sock_diag") {
  ListenerTable table;
  if (table.unix_source() != Source::kDiag) return;
  check_unix(table, Seen::kUnknown);
}

TEST_CASE("listener table: unix listeners are seen in /proc/net/unix") {
  ListenerTable table;
  table.prefer_proc();
  if (table.unix_source() != Source::kProc) return;
  check_unix(table, Seen::kUnknown);
}

TEST_CASE("listener table: a unix path that was taken over is its new owner's") {
  ListenerTable table;
  if (table.unix_source() != Source::kDiag) return;
  const Folder folder;
  const std::string path = folder / "app.sock";
  const auto before = listener(at_path(path));
  CHECK(table.look(at_path(path)).seen == Seen::kThere);
  ::unlink(path.c_str());
  CHECK(table.look(at_path(path)).seen == Seen::kAbsent);  // though it still listens, unreachable
  Fd bound(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress address = at_path(path);
  REQUIRE(::bind(bound.get(), address.data(), address.size()) == 0);
  CHECK(table.look(address).seen == Seen::kUnknown);  // bound, and not listening yet
  REQUIRE(::listen(bound.get(), 1) == 0);
  CHECK(table.look(address).seen == Seen::kThere);
}

TEST_CASE("listener table: a file that is no socket is nobody's") {
  ListenerTable table;
  const Folder folder;
  CHECK(table.look(at_path(folder.path())).seen == Seen::kAbsent);
}

TEST_CASE("listener table: a full backlog is the kernel's word for it") {
  ListenerTable table;
  if (table.tcp_source() != Source::kDiag) return;
  const auto fd = listener(at("127.0.0.1", 0), 1);
  REQUIRE(fd);
  const SocketAddress address = at("127.0.0.1", port_of(*fd));
  std::vector<Fd> waiting;
  waiting.push_back(connecting(address));
  CHECK(table.look(address).limit == 1);
  CHECK_FALSE(table.look(address).is_full());  // one more is taken
  waiting.push_back(connecting(address));
  CHECK(table.look(address).is_full());
}

TEST_CASE("listener table: the same for a unix socket") {
  ListenerTable table;
  if (table.unix_source() != Source::kDiag) return;
  const Folder folder;
  const SocketAddress address = at_path(folder / "app.sock");
  const auto fd = listener(address, 1);
  std::vector<Fd> waiting;
  for (int i = 0; i < 2; ++i) waiting.push_back(connecting(address));
  CHECK(table.look(address).is_full());
}

TEST_CASE("listener table: other hosts are not looked at") {
  ListenerTable table;
  CHECK_FALSE(table.can_look_at(at("192.0.2.1", 80)));
  CHECK_FALSE(table.can_look_at(at("2001:db8::1", 80)));
  CHECK(table.can_look_at(at("127.8.9.1", 80)));
}
