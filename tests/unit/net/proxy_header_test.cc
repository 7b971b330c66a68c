#include "proxy/net/proxy_header.h"

#include <initializer_list>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "tests/unit/net/proxy_blocks.h"

namespace sluice::net {
namespace {

using namespace sluice::testing;
using config::ProxyVersion;
using Origin = ProxyHeader::Origin;
using State = ProxyVerdict::State;

constexpr std::string_view kRequest = "GET / HTTP/1.1\r\n\r\n";

// As it comes in one piece and with a request behind it; then one byte at a time, where no byte
// before the last may decide anything.
ProxyHeader whole(const std::string& wire) {
  CAPTURE(wire);
  ProxyHeader header;
  const ProxyVerdict verdict = parse_proxy_header(wire + std::string(kRequest), header);
  REQUIRE(verdict.state == State::kWhole);
  CHECK(verdict.size == wire.size());
  for (size_t i = 0; i < wire.size(); ++i) {
    ProxyHeader untouched;
    CHECK(parse_proxy_header(wire.substr(0, i), untouched).state == State::kMore);
    CHECK(untouched.origin == Origin::kNone);
  }
  ProxyHeader slowly;
  CHECK(parse_proxy_header(wire, slowly).size == wire.size());
  CHECK(slowly.source.ip == header.source.ip);
  return header;
}

ProxyFault faulty(const std::string& wire) {
  CAPTURE(wire);
  ProxyHeader header;
  const ProxyVerdict verdict = parse_proxy_header(wire, header);
  REQUIRE(verdict.state == State::kFault);
  CHECK(header.origin == Origin::kNone);
  // What was faulty stays so, and what comes before it is not whole.
  for (size_t i = 0; i < wire.size(); ++i) {
    CHECK(parse_proxy_header(wire.substr(0, i), header).state != State::kWhole);
  }
  CHECK(parse_proxy_header(wire + std::string(kRequest), header).state == State::kFault);
  return verdict.fault;
}

std::string text(const IpPort& address) {
  return std::string(address.ip_text().view()) + " " + std::to_string(address.port);
}

}  // namespace

TEST_CASE("proxy header v1: the two families") {
  const auto four = whole("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n");
  CHECK(four.origin == Origin::kAddress);
  CHECK(text(four.source) == "203.0.113.7 56324");
  CHECK(text(four.destination) == "10.0.0.1 443");
  CHECK_FALSE(four.secure);
  const auto six = whole("PROXY TCP6 2001:db8::1 fd00::2 0 65535\r\n");
  CHECK(text(six.source) == "2001:db8::1 0");
  CHECK(text(six.destination) == "fd00::2 65535");
  const std::string longest =
      "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
  REQUIRE(longest.size() == 104);  // §2.1 counts it with its zero
  CHECK(whole(longest).origin == Origin::kAddress);
}

TEST_CASE("proxy header v1: UNKNOWN keeps the socket's address, whatever follows it") {
  for (const std::string rest : {"", " ", " ffff:: 1.2.3.4 nonsense", " TCP4"}) {
    CHECK(whole("PROXY UNKNOWN" + rest + "\r\n").origin == Origin::kNone);
  }
  const std::string most = "PROXY UNKNOWN " + std::string(kMostProxyLine - 16, 'x') + "\r\n";
  REQUIRE(most.size() == kMostProxyLine);
  CHECK(whole(most).origin == Origin::kNone);
}

TEST_CASE("proxy header v1: what is not exactly as it has to be is malformed") {
  for (const std::string line : {"PROXY \r\n",
                                 "PROXY TCP4\r\n",
                                 "PROXY TCP4 1.2.3.4\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 1 2 3\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 1 2 \r\n",
                                 "PROXY  TCP4 1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4  1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY tcp4 1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY TCP5 1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY UDP4 1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY UNKNOWN2\r\n",
                                 "PROXY unknown\r\n",
                                 "PROXY TCP4 1.2.3 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4 1.2.3.256 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4 01.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4 0x1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4 localhost 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4 ::1 ::2 1 2\r\n",
                                 "PROXY TCP6 1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY TCP6 ::1 1.2.3.5 1 2\r\n",
                                 "PROXY TCP6 [::1] ::2 1 2\r\n",
                                 "PROXY TCP6 fe80::1%lo ::2 1 2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 65536 2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 -1 2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 +1 2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 01 2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 1 x\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5  2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 1 2\n",
                                 "PROXY UNKNOWN\n",
                                 "PROXY TCP4\t1.2.3.4 1.2.3.5 1 2\r\n",
                                 "PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r \r\n",
                                 "PROXY TCP4 1.2.3.4,5.6.7.8 1.2.3.5 1 2\r\n"}) {
    CHECK(faulty(line) == ProxyFault::kMalformed);
  }
  const std::string zero{"PROXY TCP4 1.2.3.4\0 1.2.3.5 1 2\r\n", 33};
  CHECK(faulty(zero) == ProxyFault::kMalformed);
}

TEST_CASE("proxy header v1: a line has 107 bytes at most") {
  CHECK(faulty("PROXY UNKNOWN " + std::string(kMostProxyLine - 14, 'x')) == ProxyFault::kTooLong);
  CHECK(faulty("PROXY UNKNOWN " + std::string(kMostProxyLine - 15, 'x') + "\r\n") ==
        ProxyFault::kTooLong);
  CHECK(faulty("PROXY " + std::string(101, ' ')) == ProxyFault::kTooLong);
}

TEST_CASE("proxy header: what begins otherwise is none") {
  for (const std::string bytes :
       {"G", "GET / HTTP/1.1\r\n\r\n", "PUT / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PROPFIND / HTTP/1.1\r\n", "PROXYING", "PROXY\r\n", "proxy TCP4 ", " PROXY TCP4 ",
        "\r\nPROXY TCP4 ", "\r\n\r\nGET", "\r\n\r\n\r", "\x16\x03\x01"}) {
    CHECK(faulty(bytes) == ProxyFault::kMissing);
  }
  const std::string almost{"\r\n\r\n\0\r\nQUIT\r", 12};
  CHECK(faulty(almost) == ProxyFault::kMissing);
}

TEST_CASE("proxy header v2: the two families") {
  const auto four = whole(block(0x21, 0x11, kFour));
  CHECK(four.origin == Origin::kAddress);
  CHECK(text(four.source) == "203.0.113.7 56324");
  CHECK(text(four.destination) == "10.0.0.1 443");
  const auto six = whole(block(0x21, 0x21, kSix));
  CHECK(text(six.source) == "2001:db8::1 56324");
  CHECK(text(six.destination) == "fd00::2 443");
}

TEST_CASE("proxy header v2: a unix client has no address, and what is of the socket changes none") {
  const auto local = whole(block(0x21, 0x31, std::string(216, 'u')));
  CHECK(local.origin == Origin::kUnix);
  CHECK(text(local.source) == " 0");
  CHECK(whole(block(0x21, 0x31, std::string(216, 'u') + tlv(0x05, "id"))).unique_id == "id");
  // LOCAL: a health check; the block is discarded, be it what it will.
  CHECK(whole(block(0x20, 0x00, "")).origin == Origin::kNone);
  CHECK(whole(block(0x20, 0x11, kFour)).origin == Origin::kNone);
  CHECK(whole(block(0x20, 0xff, "nonsense")).origin == Origin::kNone);
  CHECK(whole(block(0x20, 0x11, "short")).origin == Origin::kNone);
  // PROXY of a family that is not said, or that a stream cannot be.
  CHECK(whole(block(0x21, 0x00, "")).origin == Origin::kNone);
  CHECK(whole(block(0x21, 0x00, "whatever")).origin == Origin::kNone);
  for (const uint8_t family : {0x12, 0x22, 0x32}) {
    CHECK(whole(block(0x21, family, kSix)).origin == Origin::kNone);
  }
}

TEST_CASE("proxy header v2: version, command and family are ones there are") {
  for (const uint8_t command : {0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff}) {
    CHECK(faulty(block(command, 0x11, kFour)) == ProxyFault::kMalformed);
  }
  for (const uint8_t family : {0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff}) {
    CHECK(faulty(block(0x21, family, kSix)) == ProxyFault::kMalformed);
  }
}

TEST_CASE("proxy header v2: a block too short for its addresses is malformed") {
  CHECK(faulty(block(0x21, 0x11, kFour.substr(0, 11))) == ProxyFault::kMalformed);
  CHECK(faulty(block(0x21, 0x11, "")) == ProxyFault::kMalformed);
  CHECK(faulty(block(0x21, 0x21, kSix.substr(0, 35))) == ProxyFault::kMalformed);
  CHECK(faulty(block(0x21, 0x31, std::string(215, 'u'))) == ProxyFault::kMalformed);
}

TEST_CASE("proxy header v2: a block has 4096 bytes at most") {
  const size_t room = kMostProxyBlock - kFour.size() - 3;
  CHECK(whole(block(0x21, 0x11, kFour + tlv(0x04, std::string(room, '\0')))).origin ==
        Origin::kAddress);
  const auto over = block(0x21, 0x11, kFour + tlv(0x04, std::string(room + 1, '\0')));
  CHECK(faulty(over) == ProxyFault::kTooLong);
  CHECK(faulty(over.substr(0, 16)) == ProxyFault::kTooLong);  // known by its length alone
}

TEST_CASE("proxy header v2: TLVs that are kept") {
  const auto header = whole(block(
      0x21, 0x11,
      kFour + tlv(0x01, "h2") + tlv(0x02, "shop.example") + tlv(0x05, "req-1") + tlv(0x04, "\1\2") +
          tlv(0xea, std::string("\x01vpce-0a1b2c", 12)) + tlv(0xf0, "somebody's own") +
          tlv(0x20, std::string("\x01\0\0\0\0", 5) + tlv(0x21, "TLSv1.3") + tlv(0x22, "client"))));
  CHECK(header.alpn == "h2");
  CHECK(header.authority == "shop.example");
  CHECK(header.unique_id == "req-1");
  CHECK(header.vpc_endpoint == "vpce-0a1b2c");
  CHECK(header.tls == "TLSv1.3");
  CHECK(header.secure);
  // Not over TLS, says its first bit; another kind of AWS's; bytes that are no text; too many.
  const auto odd = whole(
      block(0x21, 0x11,
            kFour + tlv(0x20, std::string("\x02\0\0\0\0", 5)) + tlv(0xea, "\x02x") + tlv(0xea, "") +
                tlv(0x05, std::string("\x00\xab\n", 3)) + tlv(0x02, std::string(300, 'n'))));
  CHECK_FALSE(odd.secure);
  CHECK(odd.vpc_endpoint.empty());
  CHECK(odd.unique_id == "00ab0a");
  CHECK(odd.authority == std::string(kMostProxyWord, 'n'));
  const auto binary = whole(block(0x21, 0x11, kFour + tlv(0x05, std::string(128, '\0'))));
  CHECK(binary.unique_id == std::string(kMostProxyWord, '0'));
}

TEST_CASE("proxy header v2: TLVs that do not fit are malformed") {
  const std::string ssl_start("\x01\0\0\0\0", 5);
  for (const std::string& tlvs :
       {std::string("\x04"), std::string("\x04\x00", 2), std::string("\x04\x00\x01", 3),
        std::string("\x04\xff\xff", 3), tlv(0x04, "a").substr(0, 3),
        tlv(0x04, "") + std::string(1, '\0'), tlv(0x20, ssl_start.substr(0, 4)),
        tlv(0x20, ssl_start + "\x21"), tlv(0x20, ssl_start + std::string("\x21\x00\x09x", 4)),
        tlv(0x03, "abc"), tlv(0x03, "abcde"), tlv(0x03, "abcd")}) {
    CHECK(faulty(block(0x21, 0x11, kFour + tlvs)) == ProxyFault::kMalformed);
  }
}

TEST_CASE("proxy header v2: the checksum is verified where there is one") {
  const auto plain = block(0x21, 0x11, kFour + tlv(0x03, "\xf9\x06\x3d\x3d"));
  CHECK(text(whole(plain).source) == "203.0.113.7 56324");
  const auto checked = block(
      0x21, 0x21, kSix + tlv(0x05, "id") + tlv(0x03, "\x7a\xba\x84\x9e") + tlv(0x02, "after it"));
  CHECK(whole(checked).authority == "after it");
  for (size_t i = 16; i < checked.size(); i += 3) {
    std::string bent = checked;
    bent[i] = static_cast<char>(bent[i] ^ 0x10);
    ProxyHeader header;
    CHECK(parse_proxy_header(bent, header).state != State::kWhole);
  }
}

// What a Network Load Balancer sends for a connection by PrivateLink: the checksum, the endpoint,
// and NOOPs up to a round length (the example of its documentation).
TEST_CASE("proxy header v2: a Network Load Balancer's") {
  const auto header = whole(block(0x21, 0x11,
                                  kFour + tlv(0x03, "\x82\xfc\x16\xa2") +
                                      tlv(0xea, std::string("\x01vpce-08d2bf15fac5001c9", 23)) +
                                      tlv(0x04, std::string(40, '\0'))));
  CHECK(header.vpc_endpoint == "vpce-08d2bf15fac5001c9");
  CHECK(text(header.source) == "203.0.113.7 56324");
}

TEST_CASE("proxy header: what is written is read as the same") {
  const std::pair<std::string, std::string> pairs[] = {
      {"203.0.113.7", "10.0.0.1"}, {"2001:db8::1", "fd00::2"}, {"255.255.255.255", "0.0.0.0"}};
  for (const auto& [from, to] : pairs) {
    const IpPort source = ip_port_of(from, 56324).value();
    const IpPort destination = ip_port_of(to, 443).value();
    for (const auto version : {ProxyVersion::kV1, ProxyVersion::kV2}) {
      const auto header = whole(write_proxy_header(version, source, destination));
      CHECK(text(header.source) == text(source));
      CHECK(text(header.destination) == text(destination));
    }
  }
  const IpPort four = ip_port_of("203.0.113.7", 56324).value();
  CHECK(write_proxy_header(ProxyVersion::kV1, four, ip_port_of("10.0.0.1", 443).value()) ==
        "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n");
  CHECK(write_proxy_header(ProxyVersion::kV2, four, ip_port_of("10.0.0.1", 443).value()) ==
        block(0x21, 0x11, kFour));
}

TEST_CASE("proxy header: written of two families, of a unix client, of ourselves") {
  const IpPort four = ip_port_of("203.0.113.7", 1).value();
  const IpPort six = ip_port_of("fd00::2", 2).value();
  CHECK(write_proxy_header(ProxyVersion::kV1, four, six) ==
        "PROXY TCP6 ::ffff:203.0.113.7 fd00::2 1 2\r\n");
  CHECK(text(whole(write_proxy_header(ProxyVersion::kV2, four, six)).source) == "203.0.113.7 1");
  // The listener is a unix socket, the client was told by another header.
  CHECK(write_proxy_header(ProxyVersion::kV1, four, {}) ==
        "PROXY TCP4 203.0.113.7 0.0.0.0 1 0\r\n");
  CHECK(write_proxy_header(ProxyVersion::kV1, six, {}) == "PROXY TCP6 fd00::2 :: 2 0\r\n");
  CHECK(write_proxy_header(ProxyVersion::kV1, {}, six) == "PROXY UNKNOWN\r\n");
  CHECK(write_proxy_header(ProxyVersion::kV2, {}, six) == block(0x21, 0x00, ""));
  CHECK(write_own_proxy_header(ProxyVersion::kV1, four, four) ==
        "PROXY TCP4 203.0.113.7 203.0.113.7 1 1\r\n");
  CHECK(write_own_proxy_header(ProxyVersion::kV2, four, four) == block(0x20, 0x00, ""));
}

TEST_CASE("proxy header: addresses are read strictly") {
  CHECK(text(ip_port_of("::ffff:1.2.3.4", 5).value()) == "1.2.3.4 5");
  for (const std::string bad : {"", "1.2.3", "1.2.3.4 ", "[::1]", "unknown", "1.2.3.4:5", ":::"}) {
    CHECK_FALSE(ip_port_of(bad, 0));
  }
  CHECK_FALSE(ip_port_of(std::string(46, '1'), 0));
  CHECK_FALSE(ip_port_of(std::string("1.2.3.4\0", 8), 0));
}

}  // namespace sluice::net
