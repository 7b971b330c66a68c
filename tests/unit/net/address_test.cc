#include "proxy/net/address.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using net::IpPort;
using net::SocketAddress;

namespace {

SocketAddress address(const std::string& host, uint16_t port) {
  return SocketAddress::from({host, false, host, port}).value();
}

}  // namespace

TEST_CASE("address: IPv4, IPv6 and unix paths say what they are") {
  CHECK(address("127.0.0.1", 80).text() == "127.0.0.1:80");
  CHECK(address("255.255.255.255", 65535).text() == "255.255.255.255:65535");
  CHECK(address("::1", 8080).text() == "[::1]:8080");
  CHECK(address("2001:DB8::1", 1).text() == "[2001:db8::1]:1");
  const auto path = SocketAddress::from(testing::unix_path("/run/x.sock")).value();
  CHECK(path.is_unix());
  CHECK(path.text() == "unix:/run/x.sock");
}

TEST_CASE("address: names and paths that do not fit are refused") {
  for (const char* wrong : {"localhost", "", "1.2.3", "1.2.3.4.5", "[::1]", "::g"}) {
    CAPTURE(wrong);
    const auto result = SocketAddress::from({wrong, false, wrong, 1});
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::kInvalid);
  }
  const std::string fits(sizeof(sockaddr_un{}.sun_path) - 1, 'p');
  CHECK(SocketAddress::from(testing::unix_path(fits)));
  CHECK_FALSE(SocketAddress::from(testing::unix_path(fits + "p")));
  CHECK_FALSE(SocketAddress::from(testing::unix_path("")));
}

TEST_CASE("address: an IP is 16 bytes, IPv4 mapped") {
  const IpPort v4 = address("10.1.2.3", 99).ip_port();
  CHECK(v4.is_v4());
  CHECK(v4.port == 99);
  CHECK(v4.ip_text().view() == "10.1.2.3");
  const IpPort v6 = address("fd00::10.1.2.3", 7).ip_port();
  CHECK_FALSE(v6.is_v4());
  CHECK(v6.ip_text().view() == "fd00::a01:203");
  // A dual-stack socket reports IPv4 clients so.
  CHECK(address("::ffff:10.1.2.3", 1).ip_port().ip == v4.ip);
  CHECK(address("0.0.0.0", 1).ip_port().ip_text().view() == "0.0.0.0");
}

TEST_CASE("address: the longest IPv6 text fits") {
  const std::string longest = "1111:2222:3333:4444:5555:6666:7777:8888";
  CHECK(address(longest, 1).ip_port().ip_text().view() == longest);
}

TEST_CASE("address: who comes by a unix socket has none") {
  const auto [here, there] = testing::pair_of_sockets();
  const SocketAddress nobody = SocketAddress::of_local(here.get());
  CHECK(nobody.is_unix());
  CHECK(nobody.ip_port().ip_text().view().empty());
  CHECK(nobody.ip_port().port == 0);
  CHECK(nobody.text() == "unix:");
}

TEST_CASE("address: the kernel says what port 0 became") {
  const auto listener = testing::listening();
  CHECK(listener.local().ip_port().port != 0);
  CHECK(listener.local().ip_port().ip_text().view() == "127.0.0.1");
}
