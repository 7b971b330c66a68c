// H1Server behind a 101: raw bytes, half-closes, and no deadline of its own.
#include <doctest/doctest.h>

#include "tests/unit/http/server_rig.h"

namespace sluice::testing {
namespace {

constexpr std::string_view kOpening =
    "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

http::ResponseHead switched() {
  http::ResponseHead head;
  head.status = 101;
  head.upgrade = "tcp";
  return head;
}

// Opened, with the head taken from the wire.
FakeExchange& open(ServerRig& rig, std::string_view behind = {}) {
  rig.start();
  rig.wire.say(std::string(kOpening) + std::string(behind));
  FakeExchange& exchange = rig.last();
  CHECK(exchange.head.upgrade == "tcp");
  exchange.stream.send_head(switched());
  exchange.stream.flush();
  const std::string head = rig.wire.take();
  CHECK(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
  CHECK(head.find("Connection: upgrade\r\nUpgrade: tcp\r\n") != std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
  return exchange;
}

}  // namespace

TEST_CASE("h1 server: behind 101 the bytes are as they come, both ways") {
  for (const bool one_byte : {false, true}) {
    ServerRig rig(one_byte);
    FakeExchange& exchange = open(rig, "GET / early\r\n\r\n");
    exchange.read();
    rig.wire.say("0\r\n\r\nlater");
    CHECK(exchange.body == "GET / early\r\n\r\n0\r\n\r\nlater");
    exchange.send("5\r\nraw");
    exchange.stream.flush();
    CHECK(rig.wire.take() == "5\r\nraw");
    CHECK(rig.exchanges.size() == 1);
  }
}

TEST_CASE("h1 server: each way of a tunnel is closed by itself") {
  SUBCASE("the client first") {
    ServerRig rig;
    FakeExchange& exchange = open(rig);
    CHECK(exchange.read() == http::BodyRead::kBlocked);
    rig.wire.fin();
    CHECK(exchange.last == http::BodyRead::kEnd);
    CHECK(exchange.broken.empty());
    exchange.send("still here");
    exchange.stream.flush();
    CHECK(rig.wire.take() == "still here");
    CHECK_FALSE(rig.wire.shut);
    exchange.stream.send_end();
    exchange.stream.flush();
    CHECK(rig.wire.shut);
    exchange.stream.finish();
    rig.tick();
    CHECK(rig.overs == 1);
    CHECK(rig.server->ending() == http::Ending::kAnswer);
  }
  SUBCASE("the other side first, behind what is still on its way") {
    ServerRig rig;
    FakeExchange& exchange = open(rig);
    CHECK(exchange.read() == http::BodyRead::kBlocked);
    rig.wire.write_room = 3;
    exchange.send("last words");
    exchange.stream.send_end();
    exchange.stream.flush();
    CHECK_FALSE(rig.wire.shut);
    rig.wire.unblock();
    CHECK(rig.wire.take() == "last words");
    CHECK(rig.wire.shut);
    rig.wire.say("answer");
    CHECK(exchange.body == "answer");
  }
}

TEST_CASE("h1 server: a tunnel has none of the codec's deadlines") {
  ServerRig rig;
  FakeExchange& exchange = open(rig);
  CHECK(exchange.read() == http::BodyRead::kBlocked);
  rig.advance(std::chrono::hours(2));
  rig.wire.write_room = 0;
  exchange.send("slow reader");
  exchange.stream.flush();
  rig.advance(std::chrono::hours(2));
  CHECK(exchange.broken.empty());
  rig.wire.say("alive");
  CHECK(exchange.body == "alive");
}

TEST_CASE("h1 server: what is unsent at the end of a tunnel has the time of an answer") {
  ServerRig rig;
  FakeExchange& exchange = open(rig);
  CHECK(exchange.read() == http::BodyRead::kBlocked);
  rig.wire.write_room = 0;
  exchange.send("slow reader");
  exchange.stream.send_end();
  exchange.stream.flush();
  exchange.stream.finish();
  rig.advance(rig.limits.send + std::chrono::seconds(1));
  rig.tick();
  CHECK(rig.overs == 1);
  CHECK(rig.server->ending() == http::Ending::kTimeout);
}

TEST_CASE("h1 server: a client that is lost within a tunnel is told of") {
  ServerRig rig;
  FakeExchange& exchange = open(rig);
  CHECK(exchange.read() == http::BodyRead::kBlocked);
  rig.wire.rst();
  rig.tick();
  REQUIRE(exchange.broken.size() == 1);
  CHECK(exchange.broken[0].code == ErrorCode::kReset);
  exchange.stream.reset();
  rig.tick();
  CHECK(rig.overs == 1);
}

TEST_CASE("h1 server: a refused upgrade is an ordinary answer, and the connection goes on") {
  ServerRig rig;
  rig.start();
  rig.wire.say(kOpening);
  rig.last().answer(403, "no");
  rig.last().stream.finish();
  const std::string sent = rig.wire.take();
  CHECK(sent.starts_with("HTTP/1.1 403 "));
  CHECK(sent.find("pgrade") == std::string::npos);
  rig.wire.say("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(rig.exchanges.size() == 2);
}

}  // namespace sluice::testing
