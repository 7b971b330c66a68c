#include "proxy/net/proc_net.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <doctest/doctest.h>
#include <fcntl.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using net::IpPort;

namespace {

IpPort ip(const std::string& host, uint16_t port) {
  return net::SocketAddress::from({host, false, host, port}).value().ip_port();
}

constexpr const char* kTcpHead =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode                                                     \n";
constexpr const char* kTcp =
    "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 "
    "29783535 1 0000000037bbf1a0 100 0 0 10 0                     \n"
    "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "29783536 1 0000000037bbf1a0 100 0 0 10 0                     \n"
    "   2: 0100007F:1F41 0100007F:B6FD 01 00000000:00000000 03:00001740 00000000     0        0 0 "
    "3 000000001fa611d2                                      \n"
    "   3: 0100007F:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 0 "
    "1 000000001fa611d2 100 0 0 10 0                         \n";

Fd table_of(const Folder& folder, const std::string& text) {
  const std::string path = folder / "table";
  std::ofstream(path) << text;
  return Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

}  // namespace

TEST_CASE("proc_net: a row of tcp says address, port, state and queue") {
  const auto row = net::parse_proc_tcp(
      "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000  0 1 1");
  REQUIRE(row);
  CHECK(row->listens);
  CHECK(row->queued == 3);
  CHECK(row->local.ip_text().view() == "127.0.0.1");
  CHECK(row->local.port == 8000);
}

TEST_CASE("proc_net: rows of tcp6, mapped ones included") {
  const auto any = net::parse_proc_tcp(
      "   1: 00000000000000000000000000000000:1F40 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 00:00000000 00000000 0 0 1 1");
  REQUIRE(any);
  CHECK(net::takes(any->local, ip("127.0.0.1", 8000)));
  CHECK(net::takes(any->local, ip("::1", 8000)));
  CHECK_FALSE(net::takes(any->local, ip("::1", 8001)));
  const auto one = net::parse_proc_tcp(
      "   1: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 00:00000000 00000000 0 0 1 1");
  REQUIRE(one);
  CHECK(one->local.ip_text().view() == "::1");
  CHECK_FALSE(net::takes(one->local, ip("127.0.0.1", 8000)));
  const auto mapped = net::parse_proc_tcp(
      "   2: 0000000000000000FFFF00000100007F:1F40 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 00:00000000 00000000 0 0 1 1");
  REQUIRE(mapped);
  CHECK(net::takes(mapped->local, ip("127.0.0.1", 8000)));
  CHECK_FALSE(net::takes(mapped->local, ip("127.0.0.2", 8000)));
}

TEST_CASE("proc_net: what is no row is none") {
  for (const char* line :
       {"", "  sl  local_address rem_address   st", "   0:", "   0: 0100007F",
        "   0: 0100007G:0050", "   0: 0100007F:0050 00000000:0000",
        "   0: 0100007F:0050 00000000:0000 0A 00000000",
        "   0: 0100007F:12345 00000000:0000 0A 00000000:00000000", "0 0100007F:0050 x 0A 0:0"}) {
    CAPTURE(line);
    CHECK_FALSE(net::parse_proc_tcp(line));
  }
}

TEST_CASE("proc_net: the table is searched among its listeners, which come first") {
  const Folder folder;
  const Fd table = table_of(folder, std::string(kTcpHead) + kTcp);
  const auto exact = net::find_proc_tcp(table.get(), ip("127.0.0.1", 8000));
  REQUIRE(exact);
  CHECK(exact->queued == 3);
  CHECK(net::find_proc_tcp(table.get(), ip("10.0.0.1", 80)));
  CHECK_FALSE(net::find_proc_tcp(table.get(), ip("127.0.0.2", 8000)));
  CHECK_FALSE(net::find_proc_tcp(table.get(), ip("::1", 80)));          // IPv4's wildcard
  CHECK_FALSE(net::find_proc_tcp(table.get(), ip("127.0.0.1", 8001)));  // a connection
  CHECK_FALSE(net::find_proc_tcp(table.get(), ip("127.0.0.1", 8002)));  // never behind one
}

TEST_CASE("proc_net: a table longer than one read, and one without an end of line") {
  const Folder folder;
  std::string text = kTcpHead;
  for (int port = 1; port <= 400; ++port) {
    char line[160];
    std::snprintf(line, sizeof line,
                  "%4d: 0100007F:%04X 00000000:0000 0A 00000000:%08X 00:00000000 00000000 0 0 1\n",
                  port, static_cast<unsigned>(port), static_cast<unsigned>(port));
    text += line;
  }
  text += "torn";
  const Fd table = table_of(folder, text);
  for (const uint16_t port : {1, 200, 399, 400}) {
    const auto row = net::find_proc_tcp(table.get(), ip("127.0.0.1", port));
    REQUIRE(row);
    CHECK(row->queued == port);
  }
  CHECK_FALSE(net::find_proc_tcp(table.get(), ip("127.0.0.1", 401)));
}

TEST_CASE("proc_net: a row of unix says flags, inode and path") {
  const auto row = net::parse_proc_unix(
      "00000000f25f6435: 00000002 00000000 00010000 0001 01 29784783 /run/my app.sock");
  REQUIRE(row);
  CHECK(row->listens);
  CHECK(row->inode == 29784783);
  CHECK(row->path == "/run/my app.sock");
  const auto connected = net::parse_proc_unix(
      "000000005b59410f: 00000003 00000000 00000000 0001 02     0 /run/app.sock");
  REQUIRE(connected);
  CHECK_FALSE(connected->listens);
  const auto unnamed =
      net::parse_proc_unix("000000005b59410f: 00000003 00000000 00000000 0001 03 123");
  REQUIRE(unnamed);
  CHECK(unnamed->path.empty());
  CHECK_FALSE(net::parse_proc_unix("Num       RefCount Protocol Flags    Type St Inode Path"));
  CHECK_FALSE(net::parse_proc_unix(""));
}

TEST_CASE("proc_net: unix listeners are found by path or by inode") {
  const Folder folder;
  const Fd table =
      table_of(folder,
               "Num       RefCount Protocol Flags    Type St Inode Path\n"
               "0000000000000001: 00000003 00000000 00000000 0001 03 11 /run/app.sock\n"
               "0000000000000002: 00000002 00000000 00010000 0005 01 12 /run/app.sock\n"
               "0000000000000003: 00000002 00000000 00010000 0001 01 13 /run/app.sock\n");
  CHECK(net::find_proc_unix(table.get(), "/run/app.sock", 0) == 13);
  CHECK(net::find_proc_unix(table.get(), {}, 13) == 13);
  CHECK_FALSE(net::find_proc_unix(table.get(), "/run/other.sock", 0));
  CHECK_FALSE(net::find_proc_unix(table.get(), {}, 11));
}
