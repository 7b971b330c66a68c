#include "proxy/net/proxy_reader.h"

#include <optional>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "tests/unit/net/proxy_blocks.h"
#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using net::ProxyEnd;
using net::ProxyHeader;
using net::ProxyReader;

namespace {

// A client's connection that a header is awaited on, and what was heard of it.
struct Awaiting final : net::ProxyEvents {
  explicit Awaiting(bool is_optional = false, std::pair<Fd, Fd> both = pair_over_tcp())
      : client(std::move(both.first)) {
    const ProxyReader::Terms terms{is_optional, 60s, 10s};
    reader = std::make_unique<ProxyReader>(rounds.loop(), terms, *this);
    REQUIRE(reader->start(std::move(both.second)));
  }
  void on_proxy_begun() override { ++begun; }
  void on_proxy_header(Fd its, ProxyHeader&& its_header, std::string_view its_wire) override {
    fd = std::move(its);
    header = std::move(its_header);
    wire = its_wire;
    ++verdicts;
    rounds.loop().defer_delete(std::move(reader));
  }
  void on_no_proxy_header(ProxyEnd how, std::string_view why) override {
    end = how;
    reason = why;
    ++verdicts;
    rounds.loop().defer_delete(std::move(reader));
  }
  void say(std::string_view bytes) { testing::say(client.get(), bytes); }
  bool heard() {
    return rounds.until([this] { return verdicts > 0; });
  }

  Rounds rounds;
  Fd client;
  int begun = 0;
  int verdicts = 0;
  Fd fd;
  std::optional<ProxyHeader> header;
  std::string wire;
  std::optional<ProxyEnd> end;
  std::string reason;
  std::unique_ptr<ProxyReader> reader;
};

constexpr std::string_view kLine = "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n";

}  // namespace

TEST_CASE("proxy reader: takes the header, and leaves what follows it") {
  for (const std::string& sent : {std::string(kLine), block(0x21, 0x11, kFour)}) {
    Awaiting it;
    it.say(sent + "GET /");
    REQUIRE(it.heard());
    CHECK(it.begun == 1);
    REQUIRE(it.header);
    CHECK(it.header->source.ip_text().view() == "203.0.113.7");
    CHECK(it.wire == sent);
    CHECK(received(it.fd.get()) == "GET /");
    it.rounds.settle();
    CHECK(it.verdicts == 1);
  }
}

TEST_CASE("proxy reader: one byte at a time, also over a unix socket") {
  for (const bool unix_socket : {false, true}) {
    Awaiting it(false, unix_socket ? pair_of_sockets() : pair_over_tcp());
    for (const char c : kLine.substr(0, kLine.size() - 1)) {
      it.say({&c, 1});
      it.rounds.settle();
      REQUIRE(it.verdicts == 0);
    }
    CHECK(it.begun == 1);
    it.say("\nx");
    REQUIRE(it.heard());
    REQUIRE(it.header);
    CHECK(it.header->source.port == 56324);
    CHECK(received(it.fd.get()) == "x");
  }
}

TEST_CASE("proxy reader: what had to be a header and is none ends the connection") {
  const std::pair<std::string, std::string> cases[] = {
      {"GET / HTTP/1.1\r\n", "proxy_header_missing"},
      {"PROXY TCP4 nonsense\r\n", "proxy_header_malformed"},
      {"PROXY UNKNOWN " + std::string(100, 'x'), "proxy_header_too_long"}};
  for (const auto& [sent, reason] : cases) {
    Awaiting it;
    it.say(sent);
    REQUIRE(it.heard());
    CHECK(it.end == ProxyEnd::kFaulty);
    CHECK(it.reason == reason);
    char c = 0;
    CHECK(::recv(it.client.get(), &c, 1, MSG_DONTWAIT) <= 0);
  }
}

TEST_CASE("proxy reader: a header that is cut by the end is incomplete") {
  for (const bool is_optional : {false, true}) {
    Awaiting it(is_optional);
    it.say("PROXY TCP4 203.0");
    it.rounds.settle();
    CHECK(it.verdicts == 0);
    REQUIRE(::shutdown(it.client.get(), SHUT_WR) == 0);
    REQUIRE(it.heard());
    if (is_optional) {
      CHECK(it.fd.is_open());  // somebody else says what is wrong with it
      CHECK(received(it.fd.get()) == "PROXY TCP4 203.0");
    } else {
      CHECK(it.end == ProxyEnd::kFaulty);
      CHECK(it.reason == "proxy_header_incomplete");
    }
  }
}

TEST_CASE("proxy reader: optional, and none: not a byte is taken") {
  Awaiting it(true);
  it.say("P");
  it.rounds.settle();
  CHECK(it.verdicts == 0);
  it.say("OST /");
  REQUIRE(it.heard());
  REQUIRE(it.header);
  CHECK(it.header->origin == ProxyHeader::Origin::kNone);
  CHECK(it.wire.empty());
  CHECK(received(it.fd.get()) == "POST /");
}

TEST_CASE("proxy reader: a header that is begun has a time of its own") {
  Awaiting it;
  it.rounds.pass(59s);
  CHECK(it.verdicts == 0);
  it.say("PROXY ");
  REQUIRE(it.rounds.until([&it] { return it.begun == 1; }));
  it.rounds.pass(9s);
  CHECK(it.verdicts == 0);
  it.rounds.pass(2s);
  CHECK(it.end == ProxyEnd::kTooSlow);
  CHECK(it.reason == "proxy_header_timeout");
}

TEST_CASE("proxy reader: silence, the client's end and an order leave nothing to count") {
  SUBCASE("silence") {
    Awaiting it;
    it.rounds.pass(61s);
    CHECK(it.end == ProxyEnd::kSilent);
    CHECK(it.reason.empty());
  }
  SUBCASE("closed before the first byte") {
    Awaiting it;
    it.client.reset();
    REQUIRE(it.heard());
    CHECK(it.end == ProxyEnd::kClosed);
    CHECK(it.reason.empty());
  }
  SUBCASE("ordered, never from inside the call") {
    Awaiting it;
    it.reader->close("drain");
    CHECK(it.verdicts == 0);
    it.rounds.pass(1ms);
    CHECK(it.end == ProxyEnd::kOrdered);
    CHECK(it.reason.empty());
  }
  SUBCASE("ordered while bytes are there that nobody has seen: they are looked at first") {
    Awaiting it;
    it.say(std::string(kLine));
    it.reader->close("connections");
    REQUIRE(it.heard());
    CHECK(it.header);
  }
  SUBCASE("ordered within a header: that counts") {
    Awaiting it;
    it.say("PROXY ");
    REQUIRE(it.rounds.until([&it] { return it.begun == 1; }));
    it.reader->close("drain_deadline");
    it.rounds.pass(1ms);
    CHECK(it.end == ProxyEnd::kOrdered);
    CHECK(it.reason == "drain_deadline");
  }
}
