#include "proxy/http/h1_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "tests/unit/http/server_rig.h"

namespace sluice::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
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

TEST_CASE("h1_server: a request costs one read and one write, and the connection is idle again") {
  const size_t held = Block::held();
  ServerRig rig;
  rig.start();
  CHECK(rig.idle);
  for (int i = 1; i <= 3; ++i) {
    rig.wire.say(kGet);
    REQUIRE(rig.exchanges.size() == static_cast<size_t>(i));
    CHECK(rig.last().head.method == "GET");
    CHECK(rig.last().head.target == "/a");
    CHECK(rig.last().head.authority == "h");
    CHECK_FALSE(rig.last().head.secure);
    CHECK_FALSE(rig.idle);
    CHECK(rig.server->has_request());
    CHECK(Block::held() == held);  // nothing waits: the block went back
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);
    CHECK(rig.idle);
    CHECK_FALSE(rig.server->has_request());
    CHECK(rig.wire.reads == i);
    CHECK(rig.wire.writes == i);
  }
  CHECK(rig.overs == 0);
  CHECK(Block::held() == held);
}

TEST_CASE("h1_server: the answer carries a Date, and the head says whether TLS was there") {
  ServerRig rig;
  rig.wire.secure = true;
  rig.start();
  rig.wire.say(kGet);
  CHECK(rig.last().head.secure);
  answer_and_finish(rig.last());
  CHECK(rig.wire.sent.find("\r\nDate: ") != std::string::npos);
}

TEST_CASE("h1_server: bytes that a sniffer has read come first") {
  ServerRig rig;
  rig.wire.queue(kGet.substr(5));
  rig.start(kGet.substr(0, 5));
  REQUIRE(rig.exchanges.size() == 1);
  CHECK(rig.last().head.target == "/a");
  CHECK(rig.idle_news == 0);
}

TEST_CASE("h1_server: bodies, whole and one byte at a time") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.act = [](FakeExchange& e) { e.read(); };
    rig.start();
    rig.wire.say("POST /l HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789");
    REQUIRE(rig.exchanges.size() == 1);
    CHECK(rig.last().head.body.length == 10);
    CHECK(rig.last().body == "0123456789");
    CHECK(rig.last().last == BodyRead::kEnd);
    CHECK(rig.last().stream.trailers().empty());
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);

    rig.wire.say(
        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n4;x=\"y\"\r\ndefg\r\n0\r\nX-Sum: 9\r\nX-Forwarded-For: me\r\n\r\n");
    REQUIRE(rig.exchanges.size() == 2);
    CHECK(rig.last().head.body.is_unknown());
    CHECK(rig.last().body == "abcdefg");
    CHECK(rig.last().last == BodyRead::kEnd);
    CHECK(rig.last().stream.trailers().get("x-sum") == "9");
    CHECK_FALSE(rig.last().stream.trailers().has(HeaderId::kXForwardedFor));
    CHECK(rig.last().stream.read_body(*std::make_unique<Chain>(), 10) == BodyRead::kEnd);
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);
    CHECK(rig.idle);
  }
}

TEST_CASE("h1_server: a large body arrives in windows on blocks, with the asked-for ceiling") {
  ServerRig rig;
  rig.start();
  const std::string payload(300'000, 'x');
  rig.wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + payload);
  FakeExchange& e = rig.last();
  Chain some;
  CHECK(e.stream.read_body(some, 1000) == BodyRead::kSome);
  CHECK(some.size() == 1000);
  e.body = some.to_string();
  CHECK(e.read() == BodyRead::kEnd);
  CHECK(e.body == payload);
}

TEST_CASE("h1_server: pipelined requests are answered in order, each after the last was finished") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.start();
    const std::string post = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    rig.wire.say(std::string(kGet) + post + std::string(kGet));
    CHECK(rig.exchanges.size() == 1);
    rig.tick();
    CHECK(rig.exchanges.size() == 1);
    answer_and_finish(rig.last());
    CHECK(rig.exchanges.size() == 1);  // not from inside finish()
    rig.tick();
    REQUIRE(rig.exchanges.size() == 2);
    CHECK(rig.last().head.method == "POST");
    CHECK(rig.last().read() == BodyRead::kEnd);
    CHECK(rig.last().body == "abc");
    answer_and_finish(rig.last());
    rig.tick();
    REQUIRE(rig.exchanges.size() == 3);
    answer_and_finish(rig.last());
    const std::string once{kOk};
    CHECK(without_date(rig.wire.take()) == once + once + once);
    rig.tick();
    CHECK(rig.idle);
  }
}

TEST_CASE("h1_server: a long pipeline lets the others have their turn") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.start();
  std::string many;
  for (int i = 0; i < 100; ++i) many += kGet;
  rig.wire.say(many);
  CHECK(rig.exchanges.size() == 32);
  rig.advance(milliseconds(1));
  CHECK(rig.exchanges.size() == 64);
  rig.tick();
  CHECK(rig.exchanges.size() == 100);
  CHECK(rig.idle);
}

TEST_CASE("h1_server: HTTP/1.0 closes unless asked to stay") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.start();
  rig.wire.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(without_date(rig.wire.take()) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi");
  CHECK(rig.idle);
  rig.wire.say("GET / HTTP/1.0\r\n\r\n");
  CHECK(without_date(rig.wire.take()) == kOkClose);
  CHECK(rig.overs == 1);  // the client said it sends no more: nothing to linger for
}

TEST_CASE("h1_server: an answer of unknown length is chunked, to HTTP/1.0 it ends by closing") {
  ServerRig rig;
  rig.act = [](FakeExchange& e) {
    e.begin_unknown();
    e.send("abc");
    e.send("0123456789abcdef");
    Headers trailers;
    trailers.add("X-Sum", "1");
    e.stream.send_end(std::move(trailers));
    e.stream.flush();
    e.stream.finish();
  };
  rig.start();
  rig.wire.say(kGet);
  CHECK(without_date(rig.wire.take()) ==
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n");
  CHECK(rig.wire.writes == 1);
  rig.wire.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(without_date(rig.wire.take()) ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc0123456789abcdef");
  CHECK(rig.wire.shut);
}

TEST_CASE("h1_server: HEAD, 204 and 304 have no body, whatever is sent") {
  ServerRig rig;
  int status = 200;
  bool exact = true;
  rig.act = [&status, &exact](FakeExchange& e) {
    ResponseHead head;
    head.status = status;
    head.body = exact ? BodySize::exactly(5) : BodySize::unknown();
    e.stream.send_head(head);
    e.send("12345");
    e.stream.send_end();
    e.stream.flush();
    e.stream.finish();
  };
  rig.start();
  rig.wire.say("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(without_date(rig.wire.take()) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  exact = false;
  rig.wire.say("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(without_date(rig.wire.take()) == "HTTP/1.1 200 OK\r\n\r\n");
  status = 204;
  rig.wire.say(kGet);
  CHECK(without_date(rig.wire.take()) == "HTTP/1.1 204 No Content\r\n\r\n");
  status = 304;
  rig.wire.say(kGet);
  CHECK(without_date(rig.wire.take()) == "HTTP/1.1 304 Not Modified\r\n\r\n");
  CHECK(rig.idle);
}

TEST_CASE("h1_server: 100 is answered once somebody wants the body") {
  const std::string post =
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.start();
    rig.wire.say(post);
    CHECK(rig.wire.sent.empty());
    CHECK(rig.last().read() == BodyRead::kBlocked);
    CHECK(rig.wire.take() == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(rig.last().read() == BodyRead::kBlocked);
    CHECK(rig.wire.sent.empty());
    rig.wire.say("abc");
    CHECK(rig.last().body == "abc");
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOk);
    CHECK(rig.idle);
  }
  SUBCASE("not when the body has begun to come") {
    ServerRig rig;
    rig.start();
    rig.wire.say(post + "a");
    CHECK(rig.last().read() == BodyRead::kBlocked);
    CHECK(rig.wire.sent.empty());
  }
  SUBCASE("not after a final answer, which closes: the body may or may not come") {
    ServerRig rig;
    rig.start();
    rig.wire.say(post);
    answer_and_finish(rig.last());
    CHECK(without_date(rig.wire.take()) == kOkClose);
    CHECK(rig.wire.shut);
  }
  SUBCASE("never to HTTP/1.0") {
    ServerRig rig;
    rig.start();
    rig.wire.say("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    CHECK(rig.last().read() == BodyRead::kBlocked);
    CHECK(rig.wire.sent.empty());
  }
}

TEST_CASE("h1_server: interim answers go before the head, and never to HTTP/1.0") {
  ServerRig rig;
  rig.act = [](FakeExchange& e) {
    ResponseHead hints;
    hints.status = 103;
    hints.headers.add("Link", "</a>");
    e.stream.send_interim(hints);
    answer_and_finish(e);
  };
  rig.start();
  rig.wire.say(kGet);
  CHECK(without_date(rig.wire.take()) ==
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + std::string(kOk));
  rig.wire.say("GET / HTTP/1.0\r\n\r\n");
  CHECK(without_date(rig.wire.take()) == kOkClose);
}

TEST_CASE("h1_server: a head of the largest allowed size is taken, also beyond one block") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    ServerRig rig(one_byte);
    rig.start();
    const std::string target = "/" + std::string(15'000, 't');
    const std::string value(60'000, 'v');
    rig.wire.say("GET " + target + " HTTP/1.1\r\nHost: h\r\nA: " + value + "\r\n\r\n" +
                 std::string(kGet));
    REQUIRE(rig.exchanges.size() == 1);
    CHECK(rig.last().head.target == target);
    CHECK(rig.last().head.headers.get("A") == value);
    answer_and_finish(rig.last());
    rig.tick();
    CHECK(rig.exchanges.size() == 2);
  }
}

TEST_CASE("h1_server: an empty line after a body is no request") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.start();
  rig.wire.say(kGet);
  rig.wire.say("\r\n");
  CHECK(rig.idle);
  CHECK_FALSE(rig.server->has_request());
  rig.wire.say(kGet);
  CHECK(rig.exchanges.size() == 2);
}

TEST_CASE("h1_server: a file goes out behind its head") {
  char path[] = "/tmp/h1_server_XXXXXX";
  Fd fd(::mkstemp(path));
  REQUIRE(fd.is_open());
  ::unlink(path);
  REQUIRE(::write(fd.get(), "0123456789", 10) == 10);
  ServerRig rig;
  rig.start();
  rig.wire.say(kGet);
  ResponseHead head;
  head.body = BodySize::exactly(4);
  rig.last().stream.send_head(head);
  Chain chain;
  chain.append_file(std::make_shared<const Fd>(std::move(fd)), 3, 4);
  rig.last().stream.send_body(std::move(chain));
  rig.last().stream.send_end();
  rig.last().stream.flush();
  CHECK(without_date(rig.wire.take()) == "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n3456");
  rig.last().stream.finish();
  CHECK(rig.idle);
}

}  // namespace
}  // namespace sluice::http
