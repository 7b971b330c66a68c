#include "proxy/http/uwsgi_client.h"

#include <doctest/doctest.h>

#include "tests/unit/http/client_rig.h"
#include "tests/unit/http/uwsgi_packet.h"

namespace sluice::http {
namespace {

using testing::Listener;
using testing::read_uwsgi;
using testing::request;
using Rig = testing::ClientRig<UwsgiClient>;

TEST_CASE("uwsgi_client: packet and body go in one write, the answer ends with its length") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    Rig rig(one_byte);
    Listener& l = rig.lease();
    l.stream->send_head(request("POST", "/x", BodySize::exactly(4)));
    l.send("bodyX");
    l.stream->send_end();
    l.stream->flush();
    CHECK(rig.wire.writes == 1);
    const auto packet = read_uwsgi(rig.wire.take());
    REQUIRE(packet);
    CHECK(packet->get("PATH_INFO") == "/x");
    CHECK(packet->get("CONTENT_LENGTH") == "4");
    CHECK(packet->rest == "body");
    rig.wire.say("HTTP/1.1 201 Made\r\nContent-Length: 2\r\nX: y\r\n\r\nok");
    CHECK(l.head.status == 201);
    CHECK(l.head.reason == "Made");
    CHECK(l.head.headers.get("X") == "y");
    CHECK(l.body == "ok");
    CHECK(l.last == BodyRead::kEnd);  // without the application's FIN
    l.stream->finish();
    CHECK(rig.streams_over == 1);
    CHECK_FALSE(rig.reusable);
    CHECK(rig.overs == 0);
  }
}

Listener& begin_post(Rig& rig) {
  Listener& l = rig.lease();
  rig.client->hold_rest();
  l.stream->send_head(request("POST", "/x", BodySize::exactly(4)));
  l.send("body");
  l.stream->send_end();
  l.stream->flush();
  return l;
}

TEST_CASE("uwsgi_client: with its rest held a request begins, and goes on when it is let go") {
  Rig rig;
  rig.waits_when_begun = true;
  Listener& l = begin_post(rig);
  CHECK(rig.begun == 1);
  CHECK(rig.wire.sent.size() == 4);
  CHECK(l.stream->unsent() > 0);
  l.stream->flush();
  CHECK(rig.wire.sent.size() == 4);
  rig.client->release_rest();
  CHECK(l.writables == 1);
  CHECK(l.stream->unsent() == 0);
  const auto packet = read_uwsgi(rig.wire.take());
  REQUIRE(packet);
  CHECK(packet->rest == "body");
  rig.client->release_rest();
  rig.wire.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(l.head.status == 200);
}

TEST_CASE("uwsgi_client: what was begun only cannot have been executed") {
  for (const bool reset : {false, true}) {
    Rig rig;
    rig.waits_when_begun = true;
    Listener& l = begin_post(rig);
    reset ? rig.wire.rst() : rig.wire.fin();
    REQUIRE(l.broken.size() == 1);
    CHECK(l.stream->delivery() == ClientStream::Delivery::kNotSent);
  }
  Rig let_go;
  Listener& l = begin_post(let_go);
  CHECK(let_go.begun == 1);
  CHECK(l.stream->unsent() == 0);
  let_go.wire.rst();
  CHECK(l.stream->delivery() == ClientStream::Delivery::kUnknown);
}

TEST_CASE("uwsgi_client: a rest that nobody lets go is given up in the time for sending") {
  Rig rig;
  rig.limits.send = std::chrono::seconds(1);
  rig.waits_when_begun = true;
  Listener& l = begin_post(rig);
  rig.advance(std::chrono::milliseconds(1100));
  REQUIRE(l.broken.size() == 1);
  CHECK(l.broken[0].code == ErrorCode::kTimeout);
  CHECK(l.stream->delivery() == ClientStream::Delivery::kNotSent);
}

TEST_CASE("uwsgi_client: the answers applications give") {
  struct Case {
    std::string_view answer;
    int status;
    std::string_view body;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nuntil the end", 200, "until the end"},
      {"HTTP/1.0 200 OK\r\n\r\n", 200, ""},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200, "ab"},
      {"Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno", 404, "no"},
      {"Content-Type: text/plain\r\nStatus: 503\r\nContent-Length: 2\r\n\r\nno", 503, "no"},
      {"Content-Type: text/plain\r\n\r\nyes", 200, "yes"},
      {"Location: /x\r\n\r\n", 302, ""},
      {"H: 1\r\n\r\nyes", 200, "yes"},
      {"HTTP-X: 1\r\nStatus: 299 Odd\r\n\r\nyes", 299, "yes"},
      {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"},
  };
  for (const Case& one : cases) {
    for (const bool one_byte : {false, true}) {
      CAPTURE(one.answer);
      CAPTURE(one_byte);
      Rig rig(one_byte);
      Listener& l = rig.get();
      rig.wire.say(one.answer);
      rig.wire.fin();
      CHECK(l.broken.empty());
      REQUIRE(l.heads == 1);
      CHECK(l.head.status == one.status);
      CHECK_FALSE(l.head.headers.find("Status") != nullptr);
      CHECK(l.body == one.body);
      CHECK(l.last == BodyRead::kEnd);
      l.stream->finish();
      CHECK_FALSE(rig.reusable);
    }
  }
}

TEST_CASE("uwsgi_client: answers that are none") {
  for (const std::string_view answer :
       {"Status: 20\r\n\r\n", "Status: 100 X\r\n\r\n", "Status: 2000\r\n\r\n",
        "Status: abc\r\n\r\n", "\r\n", "no field\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"}) {
    CAPTURE(answer);
    Rig rig;
    Listener& l = rig.get();
    rig.wire.say(answer);
    CHECK(l.heads == 0);
    REQUIRE(l.broken.size() == 1);
    CHECK(l.broken[0].code == ErrorCode::kMalformed);
    CHECK(l.broken[0].side == Side::kUpstream);
  }
}

TEST_CASE("uwsgi_client: a head that does not fit a packet is the client's fault") {
  Rig rig;
  RequestHead head = request("GET", "/");
  head.headers.add("A", std::string(66'000, 'a'));
  Listener& l = rig.ask(std::move(head));
  CHECK(l.broken.empty());  // not from inside the call
  rig.tick();
  REQUIRE(l.broken.size() == 1);
  CHECK(l.broken[0].code == ErrorCode::kTooLarge);
  CHECK(l.broken[0].side == Side::kClient);
  CHECK(l.stream->delivery() == ClientStream::Delivery::kNotSent);
  CHECK(rig.wire.sent.empty());
  l.stream->reset();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE("uwsgi_client: silence is explained by the limits that cause it") {
  const auto detail_of = [](size_t fields, size_t size, bool by_reset, std::string_view answer) {
    Rig rig;
    RequestHead head = request("GET", "/");
    for (size_t i = 0; i < fields; ++i) {
      head.headers.add("A" + std::to_string(i), std::string(size, 'a'));
    }
    Listener& l = rig.ask(std::move(head));
    rig.wire.say(answer);
    if (by_reset) {
      rig.wire.rst();
    } else {
      rig.wire.fin();
    }
    REQUIRE(l.broken.size() == 1);
    return l.broken[0].detail;
  };
  for (const bool by_reset : {false, true}) {
    CAPTURE(by_reset);
    const std::string large = detail_of(1, 4200, by_reset, "");
    CHECK(large.find("buffer-size") != std::string::npos);
    CHECK(large.find("4096") != std::string::npos);
    CHECK(large.find("max-vars") == std::string::npos);
    const std::string many = detail_of(130, 1, by_reset, "");
    CHECK(many.find("max-vars") != std::string::npos);
    CHECK(many.find("127") != std::string::npos);
    CHECK(many.find("buffer-size") == std::string::npos);
    CHECK(detail_of(1, 10, by_reset, "").find("uWSGI") == std::string::npos);
    CHECK(detail_of(1, 4200, by_reset, "HTTP/1.1 2").find("uWSGI") == std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::http
