#include "proxy/http/h1_client.h"

#include <doctest/doctest.h>

#include "tests/unit/http/client_rig.h"

namespace sluice::http {
namespace {

using testing::Listener;
using testing::request;
using Rig = testing::ClientRig<H1Client>;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

TEST_CASE("h1_client: a request costs one write and one read, and the connection is used again") {
  const size_t held = Block::held();
  Rig rig;
  CHECK(rig.client->is_idle());
  for (int i = 1; i <= 3; ++i) {
    RequestHead head = request("GET", "/x?y");
    head.headers.add("A", "1");
    Listener& l = rig.ask(std::move(head));
    CHECK_FALSE(rig.client->is_idle());
    CHECK(rig.wire.take() == "GET /x?y HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n");
    rig.wire.say(kOk);
    CHECK(l.heads == 1);
    CHECK(l.head.status == 200);
    CHECK(l.head.body.length == 2);
    CHECK(l.body == "hi");
    CHECK(l.last == BodyRead::kEnd);
    l.stream->finish();
    CHECK(rig.streams_over == i);
    CHECK(rig.reusable);
    CHECK(rig.client->is_idle());
    CHECK(rig.client->requests() == static_cast<uint64_t>(i));
    CHECK(rig.wire.reads == i);
    CHECK(rig.wire.writes == i);
    CHECK(Block::held() == held);
  }
  CHECK(rig.overs == 0);
}

TEST_CASE("h1_client: bodies are sent by length or chunked") {
  Rig rig;
  Listener& l = rig.lease();
  SUBCASE("by length, and never more") {
    l.stream->send_head(request("POST", "/", BodySize::exactly(5)));
    l.send("abc");
    l.send("defg");
    l.stream->send_end();
    l.stream->flush();
    CHECK(rig.wire.take() == "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde");
  }
  SUBCASE("chunked, with trailers") {
    l.stream->send_head(request("POST", "/", BodySize::unknown()));
    l.send("abc");
    l.send("0123456789abcdef");
    Headers trailers;
    trailers.add("X-Sum", "1");
    l.stream->send_end(std::move(trailers));
    l.stream->flush();
    CHECK(rig.wire.take() ==
          "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n");
  }
  CHECK(rig.wire.writes == 1);
  rig.wire.say(kOk);
  l.stream->finish();
  CHECK(rig.reusable);
}

TEST_CASE("h1_client: a request shorter than it said is not followed by another") {
  Rig rig;
  Listener& l = rig.lease();
  l.stream->send_head(request("POST", "/", BodySize::exactly(5)));
  l.send("abc");
  l.stream->send_end();
  l.stream->flush();
  rig.wire.say(kOk);
  l.stream->finish();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE(
    "h1_client: with its rest held all but the head's last byte goes out, until it is let go") {
  Rig rig;
  for (int i = 0; i < 2; ++i) {  // a kept connection, too
    rig.waits_when_begun = true;
    Listener& l = rig.lease();
    rig.client->hold_rest();
    l.stream->send_head(request("POST", "/x", BodySize::exactly(4)));
    l.send("body");
    l.stream->send_end();
    l.stream->flush();
    CHECK(rig.wire.take() == "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r");
    CHECK(l.stream->delivery() == ClientStream::Delivery::kNotSent);
    rig.client->release_rest();
    CHECK(rig.wire.take() == "\nbody");
    rig.wire.say(kOk);
    CHECK(l.head.status == 200);
    l.stream->finish();
    CHECK(rig.reusable);
  }
}

TEST_CASE("h1_client: answers of every framing, whole and one byte at a time") {
  struct Case {
    std::string_view method;
    std::string_view answer;
    std::string_view body;
    bool reusable;
  };
  const Case cases[] = {
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body", true},
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
      {"GET",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x\r\ndy\r\n0\r\n\r\n",
       "body", true},
      {"GET",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
       "body", true},
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "", true},
      {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody", "body",
       false},
      {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body", false},
      {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\nbody", "body",
       true},
      // More than the answer: whoever asked next would get it.
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyX", "body", false},
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "", false},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "", false},
  };
  for (const Case& one : cases) {
    for (const bool one_byte : {false, true}) {
      CAPTURE(one.answer);
      CAPTURE(one_byte);
      Rig rig(one_byte);
      Listener& l = rig.ask(request(one.method, "/"));
      rig.wire.say(one.answer);
      CHECK(l.heads == 1);
      CHECK(l.body == one.body);
      CHECK(l.last == BodyRead::kEnd);
      CHECK(l.broken.empty());
      if (one.answer.find("X-Sum") != std::string_view::npos) {
        CHECK(l.stream->trailers().get("x-sum") == "1");
      }
      l.stream->finish();
      CHECK(rig.reusable == one.reusable);
      CHECK(rig.overs == 0);
    }
  }
}

TEST_CASE("h1_client: a body until the end of the connection") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    Rig rig(one_byte);
    Listener& l = rig.get();
    rig.wire.say("HTTP/1.1 200 OK\r\n\r\nsome ");
    CHECK(l.head.body.is_unknown());
    CHECK(l.last == BodyRead::kBlocked);
    rig.wire.say("body");
    SUBCASE("FIN completes it") {
      rig.wire.fin();
      CHECK(l.last == BodyRead::kEnd);
      CHECK(l.broken.empty());
    }
    SUBCASE("RST breaks it") {
      rig.wire.rst();
      CHECK(l.last == BodyRead::kBroken);
      REQUIRE(l.broken.size() == 1);
      CHECK(l.broken[0].code == ErrorCode::kReset);
    }
    CHECK(l.body == "some body");
    l.stream->finish();
    CHECK_FALSE(rig.reusable);
  }
}

TEST_CASE("h1_client: a large answer comes in windows with the asked-for ceiling") {
  Rig rig;
  Listener& l = rig.get();
  l.greedy = false;
  const std::string payload(300'000, 'x');
  rig.wire.say("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + payload);
  Chain some;
  CHECK(l.stream->read_body(some, 1000) == BodyRead::kSome);
  CHECK(some.size() == 1000);
  CHECK(rig.wire.reads == 1);
  l.body = some.to_string();
  CHECK(l.read() == BodyRead::kEnd);
  CHECK(l.body == payload);
  CHECK(l.readables == 0);  // nobody waited
  l.stream->finish();
  CHECK(rig.reusable);
}

TEST_CASE("h1_client: interim answers") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    Rig rig(one_byte);
    Listener& l = rig.get();
    rig.wire.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    CHECK(l.interims == std::vector<int>{103});
    CHECK(l.heads == 0);
    CHECK(l.read() == BodyRead::kBlocked);
    rig.wire.say("HTTP/1.1 103 Early Hints\r\n\r\n" + std::string(kOk));
    CHECK(l.interims == std::vector<int>{103, 103});
    CHECK(l.body == "hi");
    l.stream->finish();
    CHECK(rig.reusable);
  }
  SUBCASE("not without end") {
    Rig rig;
    Listener& l = rig.get();
    for (uint32_t i = 0; i <= rig.limits.interim; ++i) rig.wire.say("HTTP/1.1 102 P\r\n\r\n");
    CHECK(l.interims.size() == rig.limits.interim);
    REQUIRE(l.broken.size() == 1);
    CHECK(l.broken[0].code == ErrorCode::kMalformed);
  }
}

TEST_CASE("h1_client: 101 only when asked for; then the bytes are nobody's HTTP") {
  Rig rig;
  RequestHead head = request("GET", "/");
  bool asked = false;
  SUBCASE("asked") {
    asked = true;
  }
  SUBCASE("not asked") {}
  if (asked) head.upgrade = "websocket";
  Listener& l = rig.ask(std::move(head));
  rig.wire.say(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw");
  CHECK(l.heads == (asked ? 1 : 0));
  CHECK(l.broken.size() == (asked ? 0 : 1));
  if (asked) CHECK(l.body == "raw");
}

TEST_CASE(
    "h1_client: an early answer is heard while the body goes out, and spends the connection") {
  Rig rig;
  rig.wire.write_room = 70;
  Listener& l = rig.lease();
  l.stream->send_head(request("POST", "/", BodySize::exactly(100)));
  l.send(std::string(100, 'b'));
  l.stream->send_end();
  l.stream->flush();
  CHECK(l.stream->unsent() > 0);
  rig.wire.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  CHECK(l.head.status == 413);
  CHECK(l.body == "no");
  SUBCASE("not fully sent") {
    l.stream->finish();
    CHECK_FALSE(rig.reusable);
  }
  SUBCASE("fully sent after all") {
    rig.wire.unblock();
    CHECK(l.writables == 1);
    CHECK(l.stream->unsent() == 0);
    l.stream->finish();
    CHECK(rig.reusable);
  }
}

TEST_CASE("h1_client: an answer is still found when the sending of a body broke") {
  Rig rig;
  Listener& l = rig.lease();
  l.stream->send_head(request("POST", "/", BodySize::exactly(100)));
  l.stream->flush();
  rig.wire.fail_writes = true;
  SUBCASE("there is one") {
    rig.wire.queue("HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\nno");
    rig.wire.broken = true;
    l.send("bbb");
    l.stream->flush();
    CHECK(l.heads == 0);
    rig.tick();
    CHECK(l.head.status == 413);
    CHECK(l.body == "no");
    CHECK(l.broken.empty());
  }
  SUBCASE("there is none") {
    l.send("bbb");
    l.stream->flush();
    CHECK(l.broken.empty());
    rig.tick();
    REQUIRE(l.broken.size() == 1);
    CHECK(l.broken[0].code == ErrorCode::kReset);
    CHECK(l.stream->delivery() == ClientStream::Delivery::kUnknown);
  }
  l.send("more");
  l.stream->send_end();
  l.stream->flush();
  CHECK(l.stream->unsent() == 0);
  l.stream->finish();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE("h1_client: broken answers, whole and one byte at a time") {
  struct Case {
    std::string answer;
    char end;  // F: FIN, R: RST, 0: neither
    ErrorCode code;
  };
  const Case cases[] = {
      {"", 'F', ErrorCode::kClosed},
      {"", 'R', ErrorCode::kReset},
      {"HTTP/1.1 200 OK\r\nCont", 'F', ErrorCode::kClosed},
      {"HTTP/1.1 200 OK\r\nCont", 'R', ErrorCode::kReset},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 'F', ErrorCode::kClosed},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 'R', ErrorCode::kReset},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 'F', ErrorCode::kClosed},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX", 0, ErrorCode::kMalformed},
      {"SSH-2.0\r\n\r\n", 0, ErrorCode::kMalformed},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 0,
       ErrorCode::kMalformed},
      {"HTTP/1.1 200 OK\r\nA: " + std::string(300'000, 'a'), 0, ErrorCode::kTooLarge},
  };
  for (const Case& one : cases) {
    for (const bool one_byte : {false, true}) {
      CAPTURE(one.answer.substr(0, 80));
      CAPTURE(one.end);
      CAPTURE(one_byte);
      Rig rig(one_byte);
      Listener& l = rig.get();
      rig.wire.say(one.answer);
      if (one.end == 'F') rig.wire.fin();
      if (one.end == 'R') rig.wire.rst();
      REQUIRE(l.broken.size() == 1);
      CHECK(l.broken[0].code == one.code);
      CHECK(l.broken[0].side == Side::kUpstream);
      CHECK(l.stream->delivery() == ClientStream::Delivery::kUnknown);
      CHECK(l.read() == BodyRead::kBroken);
      rig.wire.tell();
      CHECK(l.broken.size() == 1);
      l.stream->reset();
      CHECK(rig.streams_over == 1);
      CHECK_FALSE(rig.reusable);
      rig.tick();
      CHECK(rig.overs == 0);  // on_stream_over() was the last word
    }
  }
}

}  // namespace
}  // namespace sluice::http
