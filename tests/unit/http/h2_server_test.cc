// HTTP/2 towards clients: messages, bodies, windows.
#include "tests/unit/http/h2_rig.h"

#include <doctest/doctest.h>

#include <string>

using namespace sluice;
using namespace sluice::http;
using namespace sluice::testing;

TEST_CASE("h2: a request is answered, also one byte at a time") {
  for (const bool one_byte : {false, true}) {
    H2Rig rig(one_byte);
    H2Client client(rig.wire);
    rig.start_h2();
    const int32_t id = client.request("GET", "/x?y=1", {{"x-a", "1"}, {"accept", "*/*"}});
    client.talk(rig);
    REQUIRE(rig.exchanges.size() == 1);
    const RequestHead& head = rig.last().head;
    CHECK(head.method == "GET");
    CHECK(head.target == "/x?y=1");
    CHECK(head.authority == "a.example");
    CHECK(head.headers.get(HeaderId::kHost) == "a.example");
    CHECK(head.headers.get("x-a") == "1");
    CHECK(head.version == Version::kHttp2);
    CHECK(head.body.is_none());
    CHECK(rig.last().read() == BodyRead::kEnd);
    finish(rig.last(), "hello");
    client.talk(rig);
    CHECK(client.answers[id].status() == "200");
    CHECK(client.answers[id].get("content-length") == "5");
    CHECK_FALSE(client.answers[id].get("date").empty());
    CHECK(client.answers[id].body == "hello");
    CHECK(client.answers[id].closed);
    CHECK(rig.idle);
    CHECK(client.fine);
  }
}

TEST_CASE("h2: several requests run at once and end in any order") {
  H2Rig rig;
  H2Client client(rig.wire);
  rig.start_h2();
  for (int i = 0; i < 3; ++i) client.request("GET", "/" + std::to_string(i));
  client.talk(rig);
  REQUIRE(rig.exchanges.size() == 3);
  finish(*rig.exchanges[2], "two");
  finish(*rig.exchanges[0], "zero");
  finish(*rig.exchanges[1], "one");
  client.talk(rig);
  CHECK(client.answers[1].body == "zero");
  CHECK(client.answers[3].body == "one");
  CHECK(client.answers[5].body == "two");
  CHECK(rig.h2->streams() == 0);
}

TEST_CASE("h2: bodies and trailers go both ways, interim answers first") {
  for (const bool one_byte : {false, true}) {
    H2Rig rig(one_byte);
    H2Client client(rig.wire);
    H2Client::Upload upload{std::string(3000, 'u'), true, {{"x-sum", "7"}}};
    rig.start_h2();
    const int32_t id = client.request("POST", "/", {{"te", "trailers"}}, &upload);
    client.talk(rig);
    FakeExchange& exchange = rig.last();
    CHECK(exchange.head.body.is_unknown());
    CHECK(exchange.read() == BodyRead::kEnd);
    CHECK(exchange.body == std::string(3000, 'u'));
    CHECK(exchange.stream.trailers().get("x-sum") == "7");
    ResponseHead early;
    early.status = 103;
    early.headers.add(HeaderId::kLink, "</a.css>");
    exchange.stream.send_interim(early);
    exchange.begin_unknown();
    exchange.send("part ");
    exchange.stream.flush();
    exchange.send("rest");
    Headers trailers;
    trailers.add("Grpc-Status", "0");
    exchange.stream.send_end(std::move(trailers));
    exchange.stream.flush();
    exchange.stream.finish();
    client.talk(rig);
    const auto& answer = client.answers[id];
    REQUIRE(answer.interims.size() == 1);
    CHECK(answer.interims[0].front().second == "103");
    CHECK(answer.body == "part rest");
    CHECK(answer.trailers == Fields{{"grpc-status", "0"}});
    CHECK(answer.closed);
    CHECK(client.fine);
  }
}

TEST_CASE("h2: answers without a body end with their head") {
  for (const int status : {200, 204, 304}) {
    H2Rig rig;
    H2Client client(rig.wire);
    rig.start_h2();
    const int32_t id = client.request(status == 200 ? "HEAD" : "GET", "/");
    client.talk(rig);
    ResponseHead reply;
    reply.status = status;
    if (status == 200) reply.declared_length = 10;
    rig.last().stream.send_head(reply);
    rig.last().stream.send_end();
    rig.last().stream.flush();
    rig.last().stream.finish();
    client.talk(rig);
    CHECK(client.answers[id].status() == std::to_string(status));
    CHECK(client.answers[id].get("content-length") == (status == 200 ? "10" : ""));
    CHECK(client.answers[id].closed);
  }
}

TEST_CASE("h2: 100 Continue comes when the body is wanted") {
  H2Rig rig;
  H2Client client(rig.wire);
  H2Client::Upload upload{"", false, {}};
  rig.start_h2();
  const int32_t id = client.request("PUT", "/", {{"expect", "100-continue"}}, &upload);
  client.talk(rig);
  CHECK(client.answers[id].interims.empty());
  CHECK(rig.last().read() == BodyRead::kBlocked);
  client.talk(rig);
  REQUIRE(client.answers[id].interims.size() == 1);
  CHECK(client.answers[id].interims[0].front().second == "100");
}

TEST_CASE("h2: an early answer to an unread body ends with RST_STREAM(NO_ERROR)") {
  H2Rig rig;
  H2Client client(rig.wire);
  H2Client::Upload upload{std::string(1000, 'x'), false, {}};
  rig.start_h2();
  const int32_t id = client.request("POST", "/", {}, &upload);
  client.talk(rig);
  finish(rig.last());
  client.talk(rig);
  CHECK(client.answers[id].body == "ok");
  CHECK(client.answers[id].ended);
  CHECK(client.answers[id].reset == NGHTTP2_NO_ERROR + 1);
  // What was on its way is no fault.
  rig.wire.say(frame(NGHTTP2_DATA, 0, 1, "late"));
  rig.tick();
  CHECK(client.goaways.empty());
  CHECK(rig.overs == 0);
}

TEST_CASE("h2: bytes that nobody waits for are copied, so that they hold no block of others") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kAllHeaders, 1, kPost) +
               frame(NGHTTP2_HEADERS, kAllHeaders, 3, kPost));
  FakeExchange& quick = *rig.exchanges[1];
  CHECK(quick.read() == BodyRead::kBlocked);
  const size_t before = Block::held();
  std::string unread;
  for (int i = 0; i < 10; ++i) {
    const std::string part(5000, static_cast<char>('a' + i));
    const std::string much = frame(NGHTTP2_DATA, 0, 3, std::string(16'000, 'q'));
    rig.wire.say(frame(NGHTTP2_DATA, 0, 1, part) + much + much + much);
    unread += part;
  }
  CHECK(quick.body.size() == 480'000);
  CHECK(Block::held() - before <= 3 * Block::kSize);
  CHECK(rig.exchanges[0]->read() == BodyRead::kBlocked);
  CHECK(rig.exchanges[0]->body == unread);
}

TEST_CASE("h2: windows open only as the body is read; a slow stream stops no other") {
  H2Rig rig;
  H2Client client(rig.wire);
  H2Client::Upload slow{std::string(300'000, 's'), true, {}};
  H2Client::Upload quick{std::string(300'000, 'q'), true, {}};
  rig.start_h2();
  rig.act = [](FakeExchange& exchange) { exchange.greedy = exchange.head.target == "/quick"; };
  client.request("POST", "/slow", {}, &slow);
  client.request("POST", "/quick", {}, &quick);
  client.talk(rig);
  REQUIRE(rig.exchanges.size() == 2);
  rig.exchanges[1]->read();
  client.talk(rig);
  CHECK(rig.exchanges[1]->last == BodyRead::kEnd);
  CHECK(rig.exchanges[1]->body.size() == 300'000);
  CHECK(slow.bytes.size() == 300'000 - 65'536);  // its window, and no more
  CHECK(rig.h2->held() >= 65'536);
  rig.exchanges[0]->greedy = true;
  rig.exchanges[0]->read();
  client.talk(rig);
  CHECK(rig.exchanges[0]->body.size() == 300'000);
  CHECK(rig.h2->held() == 0);
}

TEST_CASE("h2: a client that opens no window holds back its own answer only, until send passes") {
  H2Rig rig;
  H2Client client(rig.wire, true);
  rig.start_h2();
  client.request("GET", "/big");
  client.talk(rig);
  FakeExchange& exchange = rig.last();
  ResponseHead reply;
  reply.body = BodySize::exactly(100'000);
  exchange.stream.send_head(reply);
  exchange.send(std::string(100'000, 'b'));
  exchange.stream.send_end();
  exchange.stream.flush();
  client.talk(rig);
  CHECK(client.answers[1].body.size() == 65'535);
  CHECK(exchange.stream.unsent() == 100'000 - 65'535);
  CHECK(exchange.writables == 0);
  client.request("HEAD", "/other");
  client.talk(rig);
  ResponseHead empty;
  rig.last().stream.send_head(empty);
  rig.last().stream.send_end();
  rig.last().stream.flush();
  rig.last().stream.finish();
  client.talk(rig);
  CHECK(client.answers[3].closed);

  SUBCASE("it opens") {
    nghttp2_submit_window_update(client.session, 0, 1, 1 << 20);
    nghttp2_submit_window_update(client.session, 0, 0, 1 << 20);
    client.talk(rig);
    CHECK(client.answers[1].body.size() == 100'000);
    CHECK(exchange.writables == 1);
    CHECK(exchange.stream.unsent() == 0);
    exchange.stream.finish();
  }
  SUBCASE("it never does") {
    rig.advance(rig.limits.send + std::chrono::seconds(1));
    REQUIRE(exchange.broken.size() == 1);
    CHECK(exchange.broken[0].code == ErrorCode::kTimeout);
    exchange.stream.reset();
    client.talk(rig);
    CHECK(client.answers[1].reset == NGHTTP2_INTERNAL_ERROR + 1);
  }
}

TEST_CASE("h2: what is not a request is a stream error, and counted") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin());
  // "X: y" in a literal.
  rig.wire.say(
      frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet + std::string("\x00\x01X\x01y", 5)));
  rig.tick();
  CHECK(rig.exchanges.empty());
  CHECK(rig.rejected == std::vector<std::string>{"400 malformed_header"});
  CHECK(goaway_code(rig.wire.sent) == -1);
  rig.wire.say(frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 3, kGet));
  CHECK(rig.exchanges.size() == 1);
}

TEST_CASE("h2: cookies become one field again, Host must not differ from :authority") {
  H2Rig rig;
  H2Client client(rig.wire);
  rig.start_h2();
  client.request("GET", "/", {{"cookie", "a=1"}, {"cookie", "b=2"}, {"host", "A.example"}});
  client.talk(rig);
  REQUIRE(rig.exchanges.size() == 1);
  CHECK(rig.last().head.headers.get(HeaderId::kCookie) == "a=1; b=2");
  CHECK(rig.last().head.headers.count(HeaderId::kCookie) == 1);
  const int32_t id = client.request("GET", "/", {{"host", "b.example"}});
  client.talk(rig);
  CHECK(client.answers[id].status() == "400");
  CHECK(rig.rejected == std::vector<std::string>{"400 host_differs"});
}

TEST_CASE("h2: an answer shorter than promised is reset, a longer one is cut") {
  H2Rig rig;
  H2Client client(rig.wire);
  rig.start_h2();
  client.request("GET", "/short");
  client.request("GET", "/long");
  client.talk(rig);
  for (const auto& exchange : rig.exchanges) {
    ResponseHead reply;
    reply.body = BodySize::exactly(5);
    exchange->stream.send_head(reply);
    exchange->send(exchange->head.target == "/short" ? "123" : "12345678");
    exchange->stream.send_end();
    exchange->stream.flush();
    exchange->stream.finish();
  }
  client.talk(rig);
  CHECK(client.answers[1].reset == NGHTTP2_INTERNAL_ERROR + 1);
  CHECK(client.answers[3].body == "12345");
  CHECK(client.answers[3].closed);
}

TEST_CASE("h1: the preface of HTTP/2 is handed over with what was read, in pieces, too") {
  for (const bool one_byte : {false, true}) {
    H2Rig rig(one_byte);
    rig.start();
    rig.wire.say(begin());
    REQUIRE(rig.h2_transport != nullptr);
    CHECK(rig.h2_read.substr(0, kH2Preface.size()) == kH2Preface);
    CHECK(rig.exchanges.empty());
    CHECK(rig.rejected.empty());
    CHECK(rig.overs == 0);
  }
}

TEST_CASE("h1: a preface that is wrong, late, or where HTTP/2 is not spoken is an odd request") {
  H2Rig rig;
  std::string bytes(kH2Preface);
  SUBCASE("wrong") {
    bytes = "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n";
  }
  SUBCASE("not spoken") {
    rig.limits.streams = 0;
  }
  SUBCASE("over TLS, where ALPN did not say so") {
    rig.wire.secure = true;
  }
  rig.start();
  rig.wire.say(bytes);
  CHECK(rig.h2_transport == nullptr);
  CHECK(rig.rejected == std::vector<std::string>{"505 version"});
}

TEST_CASE("h2: the answers of one round go out in one write") {
  H2Rig rig;
  H2Client client(rig.wire);
  rig.start_h2();
  for (int i = 0; i < 10; ++i) client.request("GET", "/");
  client.talk(rig);
  const int before = rig.wire.writes;
  for (const auto& exchange : rig.exchanges) finish(*exchange, "a body");
  CHECK(rig.wire.writes == before);
  rig.timers.advance(rig.timers.now());  // the round ends
  CHECK(rig.wire.writes == before + 1);
  client.talk(rig);
  for (int32_t id = 1; id < 20; id += 2) CHECK(client.answers[id].body == "a body");
}

TEST_CASE("h2: answers take turns, unless a priority says otherwise") {
  H2Rig rig;
  H2Client client(rig.wire, true);
  rig.start_h2();
  nghttp2_submit_window_update(client.session, 0, 0, 10'000'000);
  client.request("GET", "/first");
  client.request("GET", "/a");
  bool is_urgent = false;
  SUBCASE("no word of it") {
    client.request("GET", "/b");
  }
  SUBCASE("the last is urgent") {
    client.request("GET", "/b", {{"priority", "u=1"}});
    is_urgent = true;
  }
  client.talk(rig);
  REQUIRE(rig.exchanges.size() == 3);
  rig.wire.write_room = 0;
  for (const auto& exchange : rig.exchanges) {
    ResponseHead reply;
    reply.body = BodySize::unknown();
    exchange->stream.send_head(reply);
    exchange->send(std::string(65'535, 'x'));  // the first fills what one write takes
    exchange->stream.flush();
  }
  rig.tick();
  rig.wire.unblock(65'535 + 45'000);
  client.pull();
  CHECK(client.answers[1].body.size() == 65'535);
  CHECK(client.answers[5].body.size() >= (is_urgent ? 32'768 : 16'384));
  CHECK(client.answers[3].body.size() >= (is_urgent ? 0 : 16'384));
  CHECK((client.answers[3].body.empty()) == is_urgent);
}
