// HTTP/2 towards clients: what is too much, too slow or over.
#include "tests/unit/http/h2_rig.h"

#include <doctest/doctest.h>

#include <string>

using namespace sluice;
using namespace sluice::http;
using namespace sluice::testing;

TEST_CASE("h2: RST_STREAM by the client is told once, and the stream is left") {
  H2Rig rig;
  H2Client client(rig.wire);
  rig.start_h2();
  client.request("GET", "/");
  client.talk(rig);
  nghttp2_submit_rst_stream(client.session, 0, 1, NGHTTP2_CANCEL);
  client.talk(rig);
  REQUIRE(rig.last().broken.size() == 1);
  CHECK(rig.last().broken[0].code == ErrorCode::kReset);
  rig.last().stream.reset();
  rig.tick();
  CHECK(rig.h2->streams() == 0);
  CHECK(rig.idle);
}

TEST_CASE("h2: heads over a limit are answered 431, beyond all measure is an attack") {
  H2Rig rig;
  rig.limits.header_block = 2000;
  H2Client client(rig.wire);
  rig.start_h2();
  const int32_t id = client.request("GET", "/", {{"x-long", std::string(3000, 'l')}});
  client.talk(rig);
  CHECK(client.answers[id].status() == "431");
  CHECK(rig.rejected == std::vector<std::string>{"431 headers_too_large"});
  client.request("GET", "/", {{"x-long", std::string(16'500, 'l')}});
  client.talk(rig);
  REQUIRE(client.goaways.size() == 1);
  CHECK(client.goaways[0].second == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(rig.hits == std::vector<std::string>{"headers"});
}

TEST_CASE("h2: a drain says GOAWAY twice and serves what comes between") {
  H2Rig rig;
  H2Client client(rig.wire);
  rig.start_h2();
  client.request("GET", "/1");
  client.talk(rig);
  rig.h2->drain(true);
  rig.tick();
  client.pull();
  REQUIRE(client.goaways.size() == 1);
  CHECK(client.goaways[0].first == INT32_MAX);
  const std::string get = frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 3, kGet);
  rig.wire.say(get);  // it had not heard of it
  CHECK(rig.exchanges.size() == 2);
  client.push();  // the PING's ack
  client.pull();
  REQUIRE(client.goaways.size() == 2);
  CHECK(client.goaways[1].first == 3);
  rig.wire.say(frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 5, kGet));
  CHECK(rig.exchanges.size() == 2);
  CHECK(rig.wire.sent.find(frame(NGHTTP2_RST_STREAM, 0, 5, word(NGHTTP2_REFUSED_STREAM))) !=
        std::string::npos);
  finish(*rig.exchanges[0]);
  rig.tick();
  CHECK_FALSE(rig.wire.shut);
  finish(*rig.exchanges[1]);
  rig.tick();
  CHECK(rig.wire.shut);
  rig.wire.fin();
  rig.tick();
  CHECK(rig.overs == 1);
  CHECK(rig.h2->ending() == Ending::kAnswer);
}

TEST_CASE("h2: a head that has begun when the second GOAWAY is said is among those it names") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet));
  rig.h2->drain(true);
  rig.wire.say(frame(NGHTTP2_HEADERS, kEnd, 3, kGet));
  rig.advance(std::chrono::milliseconds(1100));
  CHECK(rig.wire.sent.find(frame(NGHTTP2_GOAWAY, 0, 0, word(3) + word(0))) != std::string::npos);
  rig.wire.say(frame(NGHTTP2_CONTINUATION, kAllHeaders, 3, ""));
  REQUIRE(rig.exchanges.size() == 2);
  for (const auto& exchange : rig.exchanges) finish(*exchange);
  rig.tick();
  CHECK(rig.rejected.empty());
  CHECK(rig.wire.shut);
}

TEST_CASE("h2: the second GOAWAY does not wait for a PING's ack for longer than a second") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin());
  rig.h2->drain(true);
  rig.tick();
  CHECK_FALSE(rig.wire.shut);
  rig.advance(std::chrono::milliseconds(1100));
  CHECK(goaway_code(rig.wire.sent) == NGHTTP2_NO_ERROR);
  CHECK(rig.wire.shut);
}

TEST_CASE("h2: deadlines: silent, idle, a head that does not end, a body that does not come") {
  H2Rig rig;
  rig.start_h2();
  SUBCASE("silent") {
    rig.wire.say(begin());
    rig.advance(rig.limits.first_byte + std::chrono::seconds(1));
    rig.tick();
    CHECK(rig.wire.shut);
    CHECK(rig.h2->ending() == Ending::kTimeout);
  }
  SUBCASE("idle") {
    rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet));
    finish(rig.last());
    rig.tick();
    rig.advance(rig.limits.idle - std::chrono::seconds(1));
    rig.wire.say(frame(NGHTTP2_PING, 0, 0, "12345678"));  // is no request
    CHECK_FALSE(rig.wire.shut);
    rig.advance(std::chrono::seconds(2));
    rig.tick();
    CHECK(rig.wire.shut);
  }
  SUBCASE("a head") {
    rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd, 1, kGet));
    rig.advance(rig.limits.header + std::chrono::seconds(1));
    rig.tick();
    CHECK(rig.rejected == std::vector<std::string>{"408 header_timeout"});
    CHECK(rig.wire.shut);
  }
  SUBCASE("a body") {
    rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kAllHeaders, 1, kPost));
    CHECK(rig.last().read() == BodyRead::kBlocked);
    rig.advance(rig.limits.body + std::chrono::seconds(1));
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kTimeout);
    finish(rig.last());  // it can still be told
    CHECK(rig.h2->streams() == 0);
  }
}

TEST_CASE("h2: floods end with ENHANCE_YOUR_CALM and are counted") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin());
  std::string flood;
  std::string limit = "h2_control";
  SUBCASE("PING") {
    for (int i = 0; i < 1100; ++i) flood += frame(NGHTTP2_PING, 0, 0, "12345678");
  }
  SUBCASE("SETTINGS") {
    for (int i = 0; i < 1100; ++i) flood += frame(NGHTTP2_SETTINGS, 0, 0, "");
  }
  SUBCASE("empty DATA") {
    flood = frame(NGHTTP2_HEADERS, kAllHeaders, 1, kPost);
    for (int i = 0; i < 1100; ++i) flood += frame(NGHTTP2_DATA, 0, 1, "");
  }
  SUBCASE("DATA that is padding only") {
    flood = frame(NGHTTP2_HEADERS, kAllHeaders, 1, kPost);
    for (int i = 0; i < 1100; ++i) {
      flood += frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, std::string_view("\1\0", 2));
    }
  }
  SUBCASE("PRIORITY") {
    for (int i = 0; i < 1100; ++i) {
      flood += frame(NGHTTP2_PRIORITY, 0, 3, std::string("\0\0\0\1\0", 5));
    }
  }
  SUBCASE("PRIORITY_UPDATE") {
    for (int i = 0; i < 1100; ++i) {
      flood += frame(NGHTTP2_PRIORITY_UPDATE, 0, 0, std::string("\0\0\0\1u=1", 7));
    }
  }
  SUBCASE("WINDOW_UPDATE") {
    for (int i = 0; i < 10'100; ++i) flood += frame(NGHTTP2_WINDOW_UPDATE, 0, 0, word(1));
  }
  SUBCASE("rapid reset") {
    limit = "h2_resets";
    for (uint32_t i = 0; i < 300; ++i) {
      flood += frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 2 * i + 1, kGet);
      flood += frame(NGHTTP2_RST_STREAM, 0, 2 * i + 1, word(NGHTTP2_CANCEL));
    }
  }
  SUBCASE("CONTINUATION") {
    limit = "h2_continuations";
    flood = frame(NGHTTP2_HEADERS, kEnd, 1, kGet);
    for (int i = 0; i < 100; ++i) flood += frame(NGHTTP2_CONTINUATION, 0, 1, "");
  }
  rig.wire.say(flood);
  for (int i = 0; i < 5; ++i) rig.tick();
  CHECK(goaway_code(rig.wire.sent) == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(rig.wire.shut);
  REQUIRE(rig.hits.size() == 1);
  CHECK(rig.hits[0] == limit);
  for (const auto& exchange : rig.exchanges) {
    CHECK(exchange->broken.size() == 1);
    exchange->stream.reset();
  }
  rig.wire.fin();
  rig.tick();
  CHECK(rig.overs == 1);
}

TEST_CASE("h2: a window that is opened byte by byte is an attack, by large steps it is not") {
  for (const uint32_t step : {1u, 300u}) {
    H2Rig rig;
    rig.start_h2();
    rig.wire.say(std::string(kH2Preface) +
                 frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\4", 2) + word(0)) +
                 frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet));
    FakeExchange& exchange = rig.last();
    exchange.begin_unknown();
    exchange.send(std::string(1'000'000, 'x'));
    exchange.stream.flush();
    for (int i = 0; i < 1100; ++i) {
      rig.wire.say(frame(NGHTTP2_WINDOW_UPDATE, 0, 1, word(step)) +
                   frame(NGHTTP2_WINDOW_UPDATE, 0, 0, word(step)));
    }
    CHECK((goaway_code(rig.wire.sent) == NGHTTP2_ENHANCE_YOUR_CALM) == (step == 1));
    CHECK(rig.hits.size() == (step == 1 ? 1 : 0));
    exchange.stream.reset();
  }
}

TEST_CASE("h2: a client that reads nothing is read no further") {
  H2Rig rig;
  rig.wire.write_room = 0;
  rig.start_h2();
  rig.wire.say(begin());
  std::string pings;
  for (int i = 0; i < 900; ++i) pings += frame(NGHTTP2_PING, 0, 0, "12345678");
  rig.wire.say(pings);
  rig.advance(rig.limits.send + std::chrono::seconds(1));
  rig.tick();
  CHECK(rig.overs == 1);
  CHECK(rig.h2->ending() == Ending::kTimeout);
}

TEST_CASE("h2: more streams than are allowed are refused") {
  H2Rig rig;
  rig.limits.streams = 2;
  rig.start_h2();
  std::string all = begin();
  for (const uint32_t id : {1u, 3u, 5u}) {
    all += frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, id, kGet);
  }
  rig.wire.say(all);
  CHECK(rig.exchanges.size() == 2);
  CHECK(rig.hits == std::vector<std::string>{"streams"});
  CHECK(rig.wire.sent.find(frame(NGHTTP2_RST_STREAM, 0, 5, word(NGHTTP2_REFUSED_STREAM))) !=
        std::string::npos);
}

TEST_CASE("h2: a lost connection breaks every stream off, once") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet) +
               frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 3, kGet));
  REQUIRE(rig.exchanges.size() == 2);
  rig.wire.rst();
  rig.tick();
  for (const auto& exchange : rig.exchanges) CHECK(exchange->broken.size() == 1);
  CHECK(rig.overs == 0);  // they have it still
  for (const auto& exchange : rig.exchanges) exchange->stream.reset();
  rig.tick();
  CHECK(rig.overs == 1);
  CHECK(rig.h2->ending() == Ending::kClient);
}

TEST_CASE("h2: a half-closed client gets its answer; probe() asks it by PING") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet));
  rig.wire.fin();
  CHECK(rig.last().ended == 1);
  rig.wire.take();
  CHECK(rig.last().stream.probe());
  rig.tick();
  CHECK(rig.wire.sent.find(frame(NGHTTP2_PING, 0, 0, std::string(8, '\0'))) != std::string::npos);
  finish(rig.last(), "still");
  rig.tick();
  CHECK(rig.wire.sent.find("still") != std::string::npos);
  CHECK(rig.overs == 1);
}

TEST_CASE("h2: the PING of a farewell comes behind its GOAWAY, and another's ack is none of its") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin());
  rig.wire.take();
  rig.h2->drain(true);
  rig.tick();
  const size_t goaway = rig.wire.sent.find(std::string("\x7f\xff\xff\xff", 4));
  REQUIRE(goaway != std::string::npos);
  CHECK(rig.wire.sent.find("farewell") > goaway);
  rig.wire.take();
  rig.wire.say(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "anything"));
  CHECK(rig.wire.take().empty());
  rig.wire.say(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "farewell"));
  CHECK(goaway_code(rig.wire.sent) == NGHTTP2_NO_ERROR);
}

TEST_CASE("h2: a client that is silent while requests run is asked, then given up") {
  H2Rig rig;
  rig.limits.idle = std::chrono::hours(1);
  rig.start_h2();
  rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet));
  rig.wire.take();
  const std::string ping = frame(NGHTTP2_PING, 0, 0, std::string(8, '\0'));
  rig.advance(rig.limits.ping - std::chrono::seconds(1));
  CHECK(rig.wire.sent.empty());
  rig.advance(std::chrono::seconds(2));
  CHECK(rig.wire.take() == ping);
  SUBCASE("it answers") {
    rig.wire.say(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, std::string(8, '\0')));
    rig.advance(rig.limits.ping + std::chrono::seconds(1));
    CHECK(rig.wire.take() == ping);
    CHECK(rig.last().broken.empty());
  }
  SUBCASE("it does not") {
    rig.advance(rig.limits.ping + std::chrono::seconds(1));
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kTimeout);
    rig.last().stream.reset();
    rig.tick();
    CHECK(rig.overs == 1);
    CHECK(rig.h2->ending() == Ending::kTimeout);
  }
  SUBCASE("without a request it is only idle") {
    finish(rig.last());
    rig.tick();
    rig.wire.take();
    rig.advance(rig.limits.ping * 4);
    CHECK(rig.wire.sent.empty());
  }
}

TEST_CASE("h2: an END_STREAM that no window lets out is given up, though its exchange has left") {
  H2Rig rig;
  H2Client client(rig.wire, true);
  rig.start_h2();
  client.request("GET", "/");
  client.talk(rig);
  FakeExchange& exchange = rig.last();
  exchange.begin_unknown();
  exchange.send(std::string(65'535, 'x'));
  exchange.stream.flush();
  client.talk(rig);
  CHECK(exchange.stream.unsent() == 0);
  exchange.stream.send_end();
  exchange.stream.flush();
  exchange.stream.finish();
  client.talk(rig);
  CHECK(client.answers[1].body.size() == 65'535);
  CHECK_FALSE(client.answers[1].ended);
  rig.advance(rig.limits.send + std::chrono::seconds(1));
  client.talk(rig);
  CHECK(client.answers[1].reset == NGHTTP2_CANCEL + 1);
  CHECK(rig.h2->streams() == 0);
  CHECK(rig.idle);
}

TEST_CASE("h2: frames that are passed over in silence are counted, too") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin());
  std::string flood;
  SUBCASE("of a type that nobody knows") {
    for (int i = 0; i < 1100; ++i) flood += frame(77, 0, 0, "?");
  }
  SUBCASE("DATA of a stream that we have cut") {
    rig.wire.say(frame(NGHTTP2_HEADERS, kAllHeaders, 1, kPost));
    rig.last().stream.reset();
    for (int i = 0; i < 1100; ++i) flood += frame(NGHTTP2_DATA, 0, 1, "");
  }
  std::string limit = "h2_control";
  SUBCASE("HEADERS of a stream that we have cut") {
    limit = "h2_resets";
    rig.wire.say(frame(NGHTTP2_HEADERS, kAllHeaders, 1, kPost));
    rig.last().stream.reset();
    for (int i = 0; i < 300; ++i) flood += frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet);
  }
  rig.wire.say(flood);
  CHECK(goaway_code(rig.wire.sent) == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(rig.hits == std::vector<std::string>{limit});
}

TEST_CASE("h2: a client that says GOAWAY is served to the end of what it asked") {
  H2Rig rig;
  rig.start_h2();
  rig.wire.say(begin() + frame(NGHTTP2_HEADERS, kEnd | kAllHeaders, 1, kGet) +
               frame(NGHTTP2_GOAWAY, 0, 0, std::string(8, '\0')));
  CHECK_FALSE(rig.wire.shut);
  finish(rig.last(), "last");
  rig.tick();
  CHECK(rig.wire.sent.find("last") != std::string::npos);
  CHECK(rig.wire.shut);
  CHECK(rig.h2->ending() == Ending::kClient);
}
