// H1Server where the connection, or the message on it, comes to its end.
#include <doctest/doctest.h>

#include "tests/unit/http/server_rig.h"

namespace sluice::http {
namespace {

using std::chrono::milliseconds;
using testing::FakeExchange;
using testing::ServerRig;
using testing::without_date;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
constexpr std::string_view kOkClose =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";

void answer_and_finish(FakeExchange& exchange) {
  exchange.answer(200, "hi");
  exchange.stream.finish();
}

bool ends_with_close(const std::string& sent) {
  return sent.find("Connection: close\r\n") != std::string::npos;
}

TEST_CASE("h1_server: a client that asks for the end needs no lingering") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.start();
  rig.wire.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(without_date(rig.wire.take()) == kOkClose);
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: a client that asks for the end and goes on is lingered for") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.start();
  rig.wire.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n");
  CHECK(without_date(rig.wire.take()) == kOkClose);
  CHECK(rig.wire.shut);
  CHECK(rig.overs == 0);
  rig.wire.fin();
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: what makes an answer say Connection: close") {
  ServerRig rig;
  rig.act = answer_and_finish;
  SUBCASE("the number of requests") {
    rig.limits.requests = 2;
    rig.start();
    rig.wire.say(kGet);
    CHECK_FALSE(ends_with_close(rig.wire.take()));
    rig.wire.say(kGet);
  }
  SUBCASE("a drain, and not by itself") {
    rig.start();
    rig.server->drain(true);
    rig.tick();
    CHECK(rig.idle);
    CHECK_FALSE(rig.wire.shut);
    rig.wire.say(kGet);
  }
  SUBCASE("the exchange") {
    rig.act = [](FakeExchange& e) {
      e.stream.close_after();
      answer_and_finish(e);
    };
    rig.start();
    rig.wire.say(kGet);
  }
  SUBCASE("a body that is too long to be thrown away") {
    rig.limits.linger_bytes = 10;
    rig.start();
    rig.wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
  }
  CHECK(without_date(rig.wire.take()) == kOkClose);
  CHECK(rig.wire.shut);
  CHECK(rig.overs == 0);
  CHECK_FALSE(rig.idle);
  rig.wire.fin();
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: pipelined bytes after a closing answer are never a request") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.start();
  rig.wire.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + std::string(kGet));
  CHECK(rig.exchanges.size() == 1);
  rig.wire.say(kGet);
  rig.tick();
  CHECK(rig.exchanges.size() == 1);
  CHECK(without_date(rig.wire.take()) == kOkClose);
}

TEST_CASE("h1_server: the rest of a body is thrown away, and the connection goes on") {
  const std::string post =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.start();
    rig.wire.say(post);
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);
    CHECK_FALSE(rig.idle);
    rig.wire.say("cde\r\n0\r\n\r\n" + std::string(kGet));
    REQUIRE(rig.exchanges.size() == 2);
    CHECK(rig.last().head.target == "/a");
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);
    rig.tick();
    CHECK(rig.idle);
  }
  SUBCASE("not more than the ceiling") {
    ServerRig rig;
    rig.limits.linger_bytes = 100;
    rig.start();
    rig.wire.say(post);
    answer_and_finish(rig.last());
    CHECK_FALSE(rig.wire.shut);
    rig.wire.say("cde\r\nff\r\n" + std::string(150, 'x'));
    CHECK(rig.wire.shut);
    CHECK(rig.overs == 0);
    rig.wire.say(std::string(200, 'x'));
    CHECK(rig.overs == 1);
  }
  SUBCASE("not longer than the linger time") {
    ServerRig rig;
    rig.start();
    rig.wire.say(post);
    answer_and_finish(rig.last());
    rig.advance(rig.limits.linger + milliseconds(2));
    CHECK(rig.wire.shut);
    rig.advance(rig.limits.linger + milliseconds(2));
    CHECK(rig.overs == 1);
  }
  SUBCASE("not when it is malformed") {
    ServerRig rig;
    rig.start();
    rig.wire.say(post);
    answer_and_finish(rig.last());
    rig.wire.say("cdeXX");
    CHECK(rig.wire.shut);
  }
  SUBCASE("not when the client ends it") {
    ServerRig rig;
    rig.start();
    rig.wire.say(post);
    answer_and_finish(rig.last());
    rig.wire.fin();
    CHECK(rig.overs == 1);
  }
}

TEST_CASE("h1_server: lingering ends with the client's FIN, a byte count, or time") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.limits.linger_bytes = 1000;
  rig.start();
  rig.server->drain(true);
  rig.wire.say(kGet);
  REQUIRE(rig.wire.shut);
  SUBCASE("FIN") {
    rig.wire.say("junk");
    CHECK(rig.overs == 0);
    rig.wire.fin();
  }
  SUBCASE("RST") {
    rig.wire.rst();
  }
  SUBCASE("bytes") {
    rig.wire.say(std::string(1000, 'x'));
    CHECK(rig.overs == 0);
    rig.wire.say("x");
  }
  SUBCASE("time") {
    rig.advance(rig.limits.linger - milliseconds(5));
    CHECK(rig.overs == 0);
    rig.advance(milliseconds(10));
  }
  CHECK(rig.overs == 1);
  rig.tick();
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: a half-closed client gets its answer, then the connection ends at once") {
  for (const bool with_request : {false, true}) {
    CAPTURE(with_request);
    ServerRig rig;
    rig.start();
    if (with_request) {
      rig.wire.ended = true;
      rig.wire.say(kGet);
    } else {
      rig.wire.say(kGet);
      rig.wire.fin();
    }
    REQUIRE(rig.exchanges.size() == 1);
    CHECK(rig.last().broken.empty());
    rig.tick();
    CHECK(rig.overs == 0);
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);
    rig.tick();
    CHECK(rig.overs == 1);
  }
}

TEST_CASE("h1_server: a FIN behind pipelined requests ends the connection after their answers") {
  ServerRig rig;
  rig.start();
  rig.wire.say(std::string(kGet) + std::string(kGet));
  rig.wire.fin();
  answer_and_finish(rig.last());
  rig.tick();
  REQUIRE(rig.exchanges.size() == 2);
  answer_and_finish(rig.last());
  rig.tick();
  CHECK(without_date(rig.wire.take()) == std::string(kOk) + std::string(kOk));
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: a client that leaves is noticed") {
  ServerRig rig;
  rig.start();
  SUBCASE("idle") {
    rig.wire.fin();
    CHECK(rig.wire.sent.empty());
    CHECK(rig.overs == 1);
  }
  SUBCASE("idle, by RST") {
    rig.wire.rst();
    CHECK(rig.overs == 1);
    CHECK(rig.rejected.empty());
  }
  SUBCASE("FIN within a head: it can still read why") {
    rig.wire.say("GET / HT");
    rig.wire.fin();
    CHECK(rig.rejected == std::vector<std::string>{"400 incomplete_header"});
    CHECK(rig.wire.sent.find("HTTP/1.1 400 ") == 0);
    CHECK(rig.overs == 1);
  }
  SUBCASE("RST within a head") {
    rig.wire.say("GET / HT");
    rig.wire.rst();
    CHECK(rig.rejected == std::vector<std::string>{"400 client_reset"});
    CHECK(rig.overs == 1);
  }
  SUBCASE("FIN within a body") {
    rig.act = [](FakeExchange& e) { e.read(); };
    rig.wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab");
    rig.wire.fin();
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kClosed);
    CHECK(rig.last().broken[0].side == Side::kClient);
    CHECK(rig.last().last == BodyRead::kBroken);
    rig.last().stream.reset();
    rig.tick();
    CHECK(rig.overs == 1);
  }
  SUBCASE("RST within a body") {
    rig.act = [](FakeExchange& e) { e.read(); };
    rig.wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab");
    rig.wire.rst();
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kReset);
    rig.last().stream.reset();
    rig.tick();
    CHECK(rig.overs == 1);
  }
  SUBCASE("RST while nobody reads") {
    rig.wire.say(kGet);
    rig.wire.rst();
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kReset);
    rig.wire.tell();
    CHECK(rig.last().broken.size() == 1);
    rig.last().stream.reset();
    rig.tick();
    CHECK(rig.overs == 1);
  }
  SUBCASE("EPIPE while sending") {
    rig.wire.say(kGet);
    rig.wire.fail_writes = true;
    rig.last().answer(200, "hi");
    CHECK(rig.last().broken.empty());  // never from inside a call
    rig.last().stream.flush();
    rig.tick();
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kReset);
    CHECK(rig.last().stream.unsent() == 0);
    rig.last().stream.reset();
    rig.tick();
    CHECK(rig.overs == 1);
  }
  SUBCASE("EPIPE after finish()") {
    rig.wire.say(kGet);
    rig.wire.fail_writes = true;
    answer_and_finish(rig.last());
    CHECK(rig.overs == 0);
    rig.tick();
    CHECK(rig.overs == 1);
    CHECK(rig.last().broken.empty());
  }
}

TEST_CASE("h1_server: a malformed body can be answered, then the connection closes") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.act = [](FakeExchange& e) { e.read(); };
    rig.start();
    rig.wire.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXY");
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kMalformed);
    CHECK(rig.last().broken[0].side == Side::kClient);
    CHECK(rig.last().read() == BodyRead::kBroken);
    rig.last().answer(400, "no");
    rig.last().stream.finish();
    CHECK(without_date(rig.wire.take()) ==
          "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    CHECK(rig.wire.shut);
  }
}

TEST_CASE("h1_server: what nobody above may see is answered here") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.start();
    std::string status;
    SUBCASE("grammar") {
      rig.wire.say("GET / HTTP/1.1\r\nHost : h\r\n\r\n");
      status = "400 Bad Request";
    }
    SUBCASE("framing") {
      rig.wire.say(
          "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
          "Transfer-Encoding: chunked\r\n\r\n");
      status = "400 Bad Request";
    }
    SUBCASE("size") {
      rig.wire.say("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(70'000, 'a'));
      status = "431 Request Header Fields Too Large";
    }
    SUBCASE("method") {
      rig.wire.say("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n");
      CHECK(rig.wire.sent.find("\r\nAllow: GET") != std::string::npos);
      status = "405 Method Not Allowed";
    }
    CHECK(rig.exchanges.empty());
    REQUIRE(rig.rejected.size() == 1);
    const std::string sent = rig.wire.take();
    CHECK(sent.find("HTTP/1.1 " + status + "\r\n") == 0);
    CHECK(ends_with_close(sent));
    CHECK(sent.substr(sent.size() - status.size() - 1) == status + "\n");
    CHECK(rig.wire.shut);
    rig.wire.say("more");
    CHECK(rig.overs == 0);
    rig.wire.fin();
    CHECK(rig.overs == 1);
  }
}

}  // namespace
}  // namespace sluice::http
