#include "proxy/config/address.h"

#include <string>

#include <doctest/doctest.h>

namespace sluice::config {
namespace {

std::string fault_of(std::string_view text, AddressUse use) {
  const auto address = parse_address(text, use);
  return address ? "" : address.error().detail;
}

bool holds(std::string_view network, std::string_view ip) {
  const auto parsed = parse_network(network);
  REQUIRE(parsed);
  return parsed->contains(parse_ip(ip).value());
}

}  // namespace

TEST_CASE("address: the forms a listener takes") {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
  };
  for (const Case& c :
       {Case{"0.0.0.0:8080", "0.0.0.0", 8080}, Case{":8080", "0.0.0.0", 8080},
        Case{"[::]:8080", "::", 8080}, Case{"[0:0::1]:80", "::1", 80},
        Case{"localhost:0", "127.0.0.1", 0}, Case{"127.0.0.1:65535", "127.0.0.1", 65535}}) {
    CAPTURE(std::string{c.text});
    const auto address = parse_address(c.text, AddressUse::kListen);
    REQUIRE(address);
    CHECK(address->text == c.text);
    CHECK_FALSE(address->is_unix);
    CHECK(address->host_or_path == c.host);
    CHECK(address->port == c.port);
  }
  const auto local = parse_address("unix:/run/x.sock", AddressUse::kListen);
  REQUIRE(local);
  CHECK(local->is_unix);
  CHECK(local->host_or_path == "/run/x.sock");
}

TEST_CASE("address: what is wrong comes with what would be right") {
  const auto listen = AddressUse::kListen;
  const auto dial = AddressUse::kConnect;
  CHECK(fault_of("8080", listen) == "\"8080\" is only a port; write :8080 or 127.0.0.1:8080");
  CHECK(fault_of("10.0.0.1", dial) == "\"10.0.0.1\" has no port; write 10.0.0.1:8000");
  CHECK(fault_of("/run/a.sock", dial) ==
        "\"/run/a.sock\": for a unix socket write unix:/run/a.sock");
  CHECK(fault_of("http://127.0.0.1:80", dial) ==
        "\"http://127.0.0.1:80\": no scheme here; write 127.0.0.1:80 (`protocol` has its own key)");
  CHECK(fault_of("app:8000", dial) ==
        "\"app:8000\" is a name; write dns://app:8000 to have it looked up");
  CHECK(fault_of("dns://a:80", dial) ==
        "\"dns://a:80\": nothing is looked up here; write an IP address");
  CHECK(fault_of("example.com:80", listen).find("not a name") != std::string::npos);
  CHECK(fault_of("::1:80", listen).find("needs brackets") != std::string::npos);
  CHECK(fault_of(":8000", dial) == "\":8000\" names no host; write 127.0.0.1:8000");
}

TEST_CASE("address: refused in every use") {
  for (const auto use : {AddressUse::kListen, AddressUse::kConnect}) {
    for (const std::string wrong :
         {"", "[::1]", "[::1", "[::1]x:80", "[127.0.0.1]:80", "1.2.3.4:65536", "1.2.3.4:",
          "1.2.3.4:-1", "1.2.3.4:8o", "unix:", "unix:run/x", "*:80", "1.2.3.4 :80", "a b:80",
          "[fe80::1%eth0]:80"}) {
      CAPTURE(wrong);
      CHECK_FALSE(parse_address(wrong, use));
    }
  }
  CHECK_FALSE(parse_address("127.0.0.1:0", AddressUse::kConnect));
  CHECK_FALSE(parse_address("unix:/" + std::string(107, 'x'), AddressUse::kListen));
  CHECK(parse_address("unix:/" + std::string(106, 'x'), AddressUse::kListen));
}

TEST_CASE("network: contains what shares its prefix, IPv4 and IPv6 apart") {
  CHECK(holds("10.0.0.0/8", "10.255.0.1"));
  CHECK_FALSE(holds("10.0.0.0/8", "11.0.0.1"));
  CHECK(holds("172.16.0.0/12", "172.31.255.255"));
  CHECK_FALSE(holds("172.16.0.0/12", "172.32.0.0"));
  CHECK(holds("127.0.0.1", "127.0.0.1"));
  CHECK_FALSE(holds("127.0.0.1", "127.0.0.2"));
  CHECK(holds("0.0.0.0/0", "8.8.8.8"));
  CHECK_FALSE(holds("0.0.0.0/0", "2001:db8::1"));
  CHECK(holds("fd00::/8", "fdff::1"));
  CHECK_FALSE(holds("fd00::/8", "fe00::1"));
  CHECK(holds("::/0", "::1"));
  CHECK(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
  CHECK(holds("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
}

TEST_CASE("network: bits behind the prefix are a slip, and the network is named") {
  const auto slip = parse_network("10.1.2.3/8");
  REQUIRE_FALSE(slip);
  CHECK(slip.error().detail ==
        "\"10.1.2.3/8\" has bits behind its prefix; the network is 10.0.0.0/8");
  for (const std::string wrong : {"", "/8", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/",
                            "10.0.0.0/-1", "10.0.0.0/8/8", "host", "all"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_network(wrong));
  }
}

TEST_CASE("network: what is printed reads back as the same") {
  for (const std::string text :
       {"10.0.0.0/8", "0.0.0.0/0", "127.0.0.1/32", "fd00::/8", "::/0", "::1/128"}) {
    const auto network = parse_network(text);
    REQUIRE(network);
    CHECK(format_network(*network) == text);
  }
}

}  // namespace sluice::config
