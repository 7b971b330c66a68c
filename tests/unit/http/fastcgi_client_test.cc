#include "proxy/http/fastcgi_client.h"

#include <doctest/doctest.h>

#include "tests/unit/http/client_rig.h"
#include "tests/unit/http/fastcgi_rig.h"

namespace sluice::http {
namespace {

using testing::fastcgi_end;
using testing::fastcgi_err;
using testing::fastcgi_out;
using testing::fastcgi_record;
using testing::Listener;
using testing::read_fastcgi;
using testing::request;
using Rig = testing::ClientRig<testing::KeptFastcgi>;
using OnceRig = testing::ClientRig<testing::OnceFastcgi>;

constexpr std::string_view kHead = "Content-Type: text/plain\r\n\r\n";

Listener& begin_post(Rig& rig, size_t size = 4) {
  Listener& l = rig.lease();
  rig.client->hold_rest();
  l.stream->send_head(request("POST", "/x", BodySize::exactly(size)));
  l.send(std::string(size, 'b'));
  l.stream->send_end();
  l.stream->flush();
  return l;
}

}  // namespace

TEST_CASE("fastcgi_client: a request in one write, an answer that ends with END_REQUEST") {
  for (const bool one_byte : {false, true}) {
    CAPTURE(one_byte);
    Rig rig(one_byte);
    Listener& l = rig.lease();
    l.stream->send_head(request("POST", "/x", BodySize::exactly(4)));
    l.send("bodyX");
    l.stream->send_end();
    l.stream->flush();
    CHECK(rig.wire.writes == 1);
    const auto sent = read_fastcgi(rig.wire.take());
    REQUIRE(sent);
    CHECK(sent->is_whole);
    CHECK(sent->keeps);
    CHECK(sent->get("CONTENT_LENGTH") == "4");
    CHECK(sent->body == "body");
    rig.wire.say(fastcgi_out("Status: 201 Made\r\nX: y\r\n") + fastcgi_err("note") +
                 fastcgi_out("\r\nhe", 7) + fastcgi_out("llo"));
    CHECK(l.head.status == 201);
    CHECK(l.head.reason == "Made");
    CHECK(l.head.headers.get("X") == "y");
    CHECK(l.body == "hello");
    CHECK(l.last == BodyRead::kBlocked);
    rig.wire.say(fastcgi_out("") + fastcgi_end());
    CHECK(l.last == BodyRead::kEnd);
    CHECK(l.stream->take_remarks() == "note");
    l.stream->finish();
    CHECK(rig.reusable);
    CHECK(rig.client->is_idle());
    // And once more by the same connection.
    Listener& next = rig.get();
    CHECK(read_fastcgi(rig.wire.take())->is_whole);
    rig.wire.say(fastcgi_out("A: 1\r\n\r\nsecond") + fastcgi_end());
    CHECK(next.body == "second");
    CHECK(next.stream->take_remarks().empty());
    next.stream->finish();
    CHECK(rig.reusable);
  }
}

TEST_CASE("fastcgi_client: without keep each request has its connection") {
  OnceRig rig;
  Listener& l = rig.get();
  CHECK_FALSE(read_fastcgi(rig.wire.take())->keeps);
  rig.wire.say(fastcgi_out("A: 1\r\n\r\nx") + fastcgi_end());
  CHECK(l.last == BodyRead::kEnd);
  l.stream->finish();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE("fastcgi_client: a large body is cut into records, its end is an empty one") {
  Rig rig;
  Listener& l = rig.lease();
  const std::string body(200'000, 'x');
  l.stream->send_head(request("PUT", "/", BodySize::exactly(body.size())));
  l.send(std::string_view(body).substr(0, 150'000));
  l.stream->flush();
  CHECK_FALSE(read_fastcgi(rig.wire.sent)->is_whole);
  l.send(std::string_view(body).substr(150'000));
  l.stream->send_end();
  l.stream->flush();
  const auto sent = read_fastcgi(rig.wire.take());
  REQUIRE(sent);
  CHECK(sent->body == body);
  CHECK(sent->is_whole);
  CHECK(sent->stdin_records == 4);
}

TEST_CASE("fastcgi_client: with less than was promised the request stays open") {
  Rig rig;
  Listener& l = rig.lease();
  l.stream->send_head(request("PUT", "/", BodySize::exactly(10)));
  l.send("half");
  l.stream->send_end();
  l.stream->flush();
  CHECK_FALSE(read_fastcgi(rig.wire.take())->is_whole);
  rig.wire.say(fastcgi_out("A: 1\r\n\r\nx") + fastcgi_end());
  l.stream->finish();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE("fastcgi_client: half an answer is never a whole one") {
  const std::string halves[] = {
      fastcgi_out("A: 1\r\n\r\nhel"),
      fastcgi_out("A: 1\r\n\r\nhello") + fastcgi_out(""),
      fastcgi_out("A: 1\r\n\r\nhello") + fastcgi_end().substr(0, 15),
      fastcgi_out("Content-Length: 10\r\n\r\nhello") + fastcgi_end(),
      fastcgi_out("A: 1\r\n\r\nhello") + fastcgi_end(2),
      fastcgi_out("A: 1\r\n\r\nhello") + fastcgi_out("") + fastcgi_out("more") + fastcgi_end(),
      fastcgi_out("A: 1\r\n\r\nhello") + fastcgi_record(6, "x", 0, 1, 7),
  };
  for (const std::string& half : halves) {
    for (const bool one_byte : {false, true}) {
      for (const bool reset : {false, true}) {
        CAPTURE(half);
        Rig rig(one_byte);
        Listener& l = rig.get();
        rig.wire.say(half);
        reset ? rig.wire.rst() : rig.wire.fin();
        rig.tick();
        CHECK(l.heads == 1);
        CHECK(l.last == BodyRead::kBroken);
        REQUIRE(l.broken.size() == 1);
        CHECK(l.broken[0].side == Side::kUpstream);
        l.stream->reset();
        CHECK_FALSE(rig.reusable);
      }
    }
  }
}

TEST_CASE("fastcgi_client: what is no answer") {
  const std::pair<std::string, ErrorCode> cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ErrorCode::kMalformed},
      {fastcgi_end(), ErrorCode::kClosed},
      {fastcgi_err("Fatal") + fastcgi_end(0, 255), ErrorCode::kClosed},
      {fastcgi_out("no head") + fastcgi_end(), ErrorCode::kClosed},
      {fastcgi_out("no field\r\n\r\n") + fastcgi_end(), ErrorCode::kMalformed},
      {fastcgi_out("Status: 101 Switching\r\nUpgrade: x\r\n\r\n"), ErrorCode::kMalformed},
      {fastcgi_out("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
       ErrorCode::kMalformed},
      {fastcgi_out("A: ") + fastcgi_out(std::string(60'000, 'a')) +
           fastcgi_out(std::string(60'000, 'a')) + fastcgi_out(std::string(60'000, 'a')) +
           fastcgi_out(std::string(60'000, 'a')) + fastcgi_out(std::string(60'000, 'a')),
       ErrorCode::kTooLarge},
      {fastcgi_end(1), ErrorCode::kUnsupported},
      {fastcgi_end(2), ErrorCode::kOverloaded},
      {fastcgi_end(3), ErrorCode::kUnsupported},
      {fastcgi_end(77), ErrorCode::kMalformed},
  };
  for (const auto& one : cases) {
    const std::string& bytes = one.first;
    const ErrorCode code = one.second;
    CAPTURE(bytes.substr(0, 100));
    Rig rig;
    RequestHead head = request("GET", "/");
    head.upgrade = "websocket";
    Listener& l = rig.ask(std::move(head));
    rig.wire.say(bytes);
    CHECK(l.heads == 0);
    REQUIRE(l.broken.size() == 1);
    CHECK(l.broken[0].code == code);
    const bool refused = code == ErrorCode::kUnsupported || code == ErrorCode::kOverloaded;
    CHECK(l.stream->delivery() ==
          (refused ? ClientStream::Delivery::kNotReceived : ClientStream::Delivery::kUnknown));
    l.stream->reset();
    CHECK_FALSE(rig.reusable);
  }
}

TEST_CASE("fastcgi_client: which answers leave the connection for another request") {
  struct Case {
    std::string_view method;
    std::string bytes;
    bool reusable;
  };
  const std::string out = fastcgi_out("A: 1\r\n\r\nx");
  const Case cases[] = {
      {"GET", out + fastcgi_end(), true},
      {"GET", out + fastcgi_end(0, 1), true},
      {"GET", out + fastcgi_end() + fastcgi_out("poison"), false},
      {"GET", out + fastcgi_end() + "x", false},
      {"GET", out + fastcgi_record(9, "v", 0, 0) + fastcgi_end(), true},
      {"GET", out + fastcgi_record(6, "other", 0, 2) + fastcgi_end(), false},
      {"GET", fastcgi_out("Content-Length: 1\r\n\r\nx") + fastcgi_end(), true},
      {"GET", fastcgi_out("Content-Length: 1\r\n\r\nx"), false},
      {"GET", fastcgi_out("Content-Length: 1\r\n\r\nxyz") + fastcgi_end(), false},
      {"HEAD", out + fastcgi_end(), false},
      {"HEAD", fastcgi_out(kHead) + fastcgi_out("") + fastcgi_end(), true},
      {"GET", fastcgi_out("Status: 304\r\nETag: \"a\"\r\n\r\n") + fastcgi_end(), true},
      {"GET", fastcgi_out("Status: 204\r\n\r\n") + fastcgi_err("a") + fastcgi_end(), true},
  };
  for (const Case& one : cases) {
    CAPTURE(one.bytes);
    Rig rig;
    Listener& l = rig.ask(request(one.method, "/"));
    rig.wire.say(one.bytes);
    CHECK(l.broken.empty());
    CHECK(l.last == BodyRead::kEnd);
    l.stream->finish();
    CHECK(rig.reusable == one.reusable);
  }
}

TEST_CASE("fastcgi_client: a connection that speaks while it is idle is over") {
  for (const std::string& unasked : {fastcgi_out("x"), fastcgi_record(9, "", 0, 0)}) {
    Rig rig;
    Listener& l = rig.get();
    rig.wire.say(fastcgi_out("A: 1\r\n\r\nx") + fastcgi_end());
    l.stream->finish();
    REQUIRE(rig.reusable);
    rig.wire.say(unasked);
    CHECK(rig.overs == 1);
  }
}

TEST_CASE("fastcgi_client: with its rest held a request begins with the head of a record") {
  Rig rig;
  rig.waits_when_begun = true;
  Listener& l = begin_post(rig);
  CHECK(rig.begun == 1);
  CHECK(rig.wire.sent.size() == 8);
  rig.client->release_rest();
  CHECK(l.stream->unsent() == 0);
  CHECK(read_fastcgi(rig.wire.take())->body == "bbbb");
  rig.wire.say(fastcgi_out(kHead) + fastcgi_end());
  CHECK(l.head.status == 200);
}

TEST_CASE("fastcgi_client: what was begun only cannot have been executed") {
  for (const bool reset : {false, true}) {
    Rig rig;
    rig.waits_when_begun = true;
    Listener& l = begin_post(rig);
    reset ? rig.wire.rst() : rig.wire.fin();
    REQUIRE(l.broken.size() == 1);
    CHECK(l.stream->delivery() == ClientStream::Delivery::kNotSent);
  }
}

TEST_CASE("fastcgi_client: closed without a word, and closed after one") {
  Rig silent;
  Listener& l = silent.get();
  silent.wire.fin();
  REQUIRE(l.broken.size() == 1);
  CHECK(l.broken[0].code == ErrorCode::kClosed);
  Rig spoken;
  Listener& m = spoken.get();
  spoken.wire.say(fastcgi_err("dying"));
  spoken.wire.fin();
  REQUIRE(m.broken.size() == 1);
  CHECK(m.broken[0].detail == "closed before END_REQUEST");
  CHECK(m.stream->delivery() == ClientStream::Delivery::kUnknown);
  CHECK(m.stream->take_remarks() == "dying");
}

TEST_CASE("fastcgi_client: who gives a request up says so before the connection goes") {
  Rig rig;
  Listener& l = rig.get();
  l.stream->reset();
  CHECK(read_fastcgi(rig.wire.take())->is_aborted);
  CHECK_FALSE(rig.reusable);
  // Not where it would land inside of a record.
  Rig blocked;
  Listener& m = blocked.lease();
  m.stream->send_head(request("PUT", "/", BodySize::exactly(100)));
  m.send(std::string(100, 'x'));
  blocked.wire.write_room = 30;
  m.stream->flush();
  m.stream->reset();
  CHECK(blocked.wire.sent.size() == 30);
}

}  // namespace sluice::http
