// H1Server where time passes, the client does not read, and every state meets every event.
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
constexpr std::string_view kPost = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";
constexpr auto kMargin = milliseconds(2);

void answer_and_finish(FakeExchange& exchange) {
  exchange.answer(200, "hi");
  exchange.stream.finish();
}

TEST_CASE("h1_server: an idle connection is closed politely after its time") {
  ServerRig rig;
  rig.act = answer_and_finish;
  rig.limits.first_byte = seconds(20);
  rig.start();
  SUBCASE("before the first byte") {
    rig.advance(seconds(20) - kMargin);
    CHECK_FALSE(rig.wire.shut);
    rig.advance(kMargin * 2);
  }
  SUBCASE("between requests") {
    rig.wire.say(kGet);
    rig.wire.take();
    rig.advance(seconds(70));
    rig.wire.say(kGet);
    rig.wire.take();
    rig.advance(rig.limits.idle - kMargin);
    CHECK_FALSE(rig.wire.shut);
    rig.advance(kMargin * 2);
  }
  CHECK(rig.wire.shut);
  CHECK(rig.wire.sent.empty());
  CHECK(rig.rejected.empty());
  CHECK(rig.overs == 0);
  rig.wire.fin();
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: a head has its time from its first byte to its last") {
  ServerRig rig;
  rig.start();
  rig.advance(seconds(30));
  rig.wire.say("G");
  rig.advance(seconds(5));
  rig.wire.say("ET / HTTP/1.1\r\n");
  rig.advance(seconds(5) - kMargin);
  CHECK(rig.rejected.empty());
  rig.advance(kMargin * 2);
  CHECK(rig.rejected == std::vector<std::string>{"408 header_timeout"});
  CHECK(rig.wire.sent.find("HTTP/1.1 408 Request Timeout\r\n") == 0);
  CHECK(rig.wire.shut);
}

TEST_CASE("h1_server: the time of a head does not run into its request") {
  ServerRig rig;
  rig.start();
  rig.wire.say(kGet.substr(0, 5));
  rig.advance(seconds(9));
  rig.wire.say(kGet.substr(5));
  rig.advance(seconds(300));
  CHECK(rig.exchanges.size() == 1);
  CHECK(rig.last().broken.empty());
  CHECK(rig.rejected.empty());
  answer_and_finish(rig.last());
  CHECK(rig.idle);
}

TEST_CASE("h1_server: the clock of a body runs only while somebody waits for it") {
  ServerRig rig;
  rig.start();
  rig.wire.say(kPost);
  rig.advance(seconds(300));
  CHECK(rig.last().broken.empty());
  CHECK(rig.last().read() == BodyRead::kBlocked);
  rig.advance(rig.limits.body - kMargin);
  rig.wire.say("a");
  rig.advance(rig.limits.body - kMargin);
  CHECK(rig.last().broken.empty());
  rig.last().greedy = false;
  rig.wire.say("b");
  rig.advance(seconds(300));  // it was told and does not ask
  CHECK(rig.last().broken.empty());
  CHECK(rig.last().read() == BodyRead::kBlocked);
  rig.advance(rig.limits.body + kMargin);
  REQUIRE(rig.last().broken.size() == 1);
  CHECK(rig.last().broken[0].code == ErrorCode::kTimeout);
  CHECK(rig.last().broken[0].detail == "body");
  CHECK(rig.last().body == "ab");
  rig.last().answer(408, "slow");
  rig.last().stream.finish();
  CHECK(rig.wire.sent.find("HTTP/1.1 408 ") == 0);
  CHECK(rig.wire.sent.find("Connection: close\r\n") != std::string::npos);
  CHECK(rig.wire.shut);
}

TEST_CASE("h1_server: a body has a least rate, from the tenth second of waiting on") {
  ServerRig rig;
  rig.limits.body_rate = 100;
  rig.act = [](FakeExchange& e) { e.read(); };
  rig.start();
  rig.wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
  SUBCASE("too slow") {
    for (int i = 0; i < 9; ++i) {
      rig.advance(seconds(1));
      rig.wire.say("x");
    }
    CHECK(rig.last().broken.empty());
    rig.advance(seconds(1) + kMargin);
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kTimeout);
  }
  SUBCASE("fast enough") {
    for (int i = 0; i < 60; ++i) {
      rig.advance(seconds(1));
      rig.wire.say(std::string(120, 'x'));
    }
    CHECK(rig.last().broken.empty());
  }
}

TEST_CASE("h1_server: an answer has a least rate, from the tenth second of waiting on") {
  ServerRig rig;
  rig.limits.send_rate = 100;
  rig.wire.write_room = 200;
  rig.start();
  rig.wire.say(kGet);
  rig.last().answer(200, std::string(100'000, 'b'));
  SUBCASE("too slow, though never silent") {
    for (int i = 0; i < 9; ++i) {
      rig.advance(seconds(1));
      rig.wire.unblock(50);
    }
    CHECK(rig.last().broken.empty());
    rig.advance(seconds(1) + kMargin);
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kTimeout);
    CHECK(rig.last().broken[0].detail == "send");
  }
  SUBCASE("fast enough") {
    for (int i = 0; i < 60; ++i) {
      rig.advance(seconds(1));
      rig.wire.unblock(120);
    }
    CHECK(rig.last().broken.empty());
  }
}

TEST_CASE("h1_server: heads that trickle hold little, where there are many") {
  ServerRig rig;
  rig.start();
  std::vector<BlockRef> others;
  SUBCASE("few") {
    rig.wire.say("GET / HTTP/1.1\r\nHo");
    CHECK(rig.server->held() == Block::kSize);
  }
  SUBCASE("many") {
    for (int i = 0; i < 65; ++i) others.push_back(BlockRef::make());
    rig.wire.say("GET / HTTP/1.1\r\nHo");
    CHECK(rig.server->held() == 18);
  }
  rig.wire.say("st: h\r\n");
  rig.wire.say("\r\n");
  REQUIRE(rig.exchanges.size() == 1);
  CHECK(rig.last().head.target == "/");
}

TEST_CASE("h1_server: a client that does not read pauses the sender") {
  ServerRig rig;
  rig.wire.write_room = 50;
  rig.start();
  rig.wire.say(kGet);
  rig.last().answer(200, std::string(100, 'b'));
  const uint64_t unsent = rig.last().stream.unsent();
  CHECK(unsent > 0);
  const int writes = rig.wire.writes;
  rig.last().stream.flush();
  CHECK(rig.wire.writes == writes);  // blocked: the news is waited for
  rig.wire.unblock(10);
  CHECK(rig.last().stream.unsent() == unsent - 10);
  CHECK(rig.last().writables == 0);
  rig.wire.unblock();
  CHECK(rig.last().stream.unsent() == 0);
  CHECK(rig.last().writables == 1);
  rig.last().stream.finish();
  CHECK(rig.idle);
  CHECK(rig.wire.sent.substr(rig.wire.sent.size() - 100) == std::string(100, 'b'));
}

TEST_CASE("h1_server: finish() leaves the rest of the answer to the codec") {
  ServerRig rig;
  rig.wire.write_room = 50;
  rig.start();
  rig.wire.say(std::string(kGet) + std::string(kGet));
  answer_and_finish(rig.last());
  rig.tick();
  CHECK(rig.exchanges.size() == 1);
  CHECK_FALSE(rig.idle);
  rig.wire.unblock();
  REQUIRE(rig.exchanges.size() == 2);
  CHECK(rig.exchanges[0]->writables == 0);
  answer_and_finish(rig.last());
  const std::string once = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
  CHECK(without_date(rig.wire.sent) == once + once);
}

TEST_CASE("h1_server: time between two writes is limited") {
  ServerRig rig;
  rig.wire.write_room = 50;
  rig.start();
  rig.wire.say(kGet);
  rig.last().answer(200, std::string(100, 'b'));
  SUBCASE("while streaming") {
    rig.advance(rig.limits.send - kMargin);
    rig.wire.unblock(1);
    rig.advance(rig.limits.send - kMargin);
    CHECK(rig.last().broken.empty());
    rig.advance(kMargin * 2);
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kTimeout);
    CHECK(rig.last().broken[0].detail == "send");
    rig.last().stream.reset();
    CHECK_FALSE(rig.wire.shut);  // at once, and not after a FIN that it would not read either
    rig.tick();
  }
  SUBCASE("after finish()") {
    rig.last().stream.finish();
    rig.advance(rig.limits.send + kMargin);
    CHECK(rig.last().broken.empty());
    rig.tick();
  }
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_server: an answer of another length than promised cannot be taken for whole") {
  ServerRig rig;
  rig.start();
  rig.wire.say(kGet);
  ResponseHead head;
  head.body = BodySize::exactly(5);
  rig.last().stream.send_head(head);
  SUBCASE("more") {
    rig.last().send("123");
    rig.last().send("45678");
    rig.last().send("9");
    rig.last().stream.send_end();
    rig.last().stream.finish();
    CHECK(without_date(rig.wire.take()) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");
  }
  SUBCASE("less") {
    rig.last().send("123");
    rig.last().stream.send_end();
    rig.last().stream.finish();
    CHECK(without_date(rig.wire.take()) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123");
  }
  SUBCASE("broken off") {
    rig.last().send("123");
    rig.last().stream.flush();
    rig.last().stream.reset();
  }
  CHECK(rig.wire.shut);
  CHECK_FALSE(rig.idle);
}

TEST_CASE("h1_server: while nobody asks, at most a block is read ahead") {
  ServerRig rig;
  rig.start();
  rig.wire.say(kGet);
  for (int i = 0; i < 40; ++i) rig.wire.say(std::string(10'000, 'x'));
  CHECK(rig.wire.incoming.size() >= 400'000 - Block::kSize);
  CHECK(rig.last().readables == 0);
  CHECK(rig.exchanges.size() == 1);
  answer_and_finish(rig.last());
  rig.tick();
  CHECK(rig.rejected.size() == 1);  // junk was no request
}

TEST_CASE("h1_server: close() in every state") {
  ServerRig rig;
  rig.start();
  SUBCASE("idle") {
    rig.server->close("test");
    CHECK(rig.wire.shut);
    CHECK(rig.overs == 0);
    rig.wire.fin();
  }
  SUBCASE("within a head") {
    rig.wire.say("GET");
    rig.server->close("test");
    CHECK(rig.wire.shut);
    rig.wire.fin();
  }
  SUBCASE("within a request") {
    rig.wire.say(kGet);
    rig.server->close("test");
    CHECK(rig.last().broken.empty());
    rig.tick();
    REQUIRE(rig.last().broken.size() == 1);
    CHECK(rig.last().broken[0].code == ErrorCode::kCancelled);
    rig.last().stream.reset();
    rig.wire.fin();
  }
  SUBCASE("while the answer goes out") {
    rig.wire.write_room = 3;
    rig.wire.say(kGet);
    answer_and_finish(rig.last());
    rig.server->close("test");
    CHECK(rig.overs == 0);
    rig.tick();
  }
  SUBCASE("while lingering") {
    rig.server->close("test");
    rig.server->close("test");
    CHECK(rig.overs == 0);
    rig.tick();
  }
  CHECK(rig.overs == 1);
  rig.server->close("test");
  rig.tick();
  CHECK(rig.overs == 1);
}

// Brings a connection into each of its states.
enum class State {
  kNew,
  kIdle,
  kHead,
  kBody,
  kWanted,
  kWaiting,
  kBlocked,
  kFlushing,
  kDiscarding,
  kLingering,
  kOver,
  kCount
};

void enter(State state, ServerRig& rig) {
  if (state == State::kBlocked || state == State::kFlushing) rig.wire.write_room = 20;
  rig.start();
  switch (state) {
    case State::kNew: break;
    case State::kIdle:
      rig.wire.say(kGet);
      answer_and_finish(rig.last());
      break;
    case State::kHead: rig.wire.say("GET / HT"); break;
    case State::kBody: rig.wire.say(kPost); break;
    case State::kWanted:
      rig.wire.say(kPost);
      rig.last().read();
      break;
    case State::kWaiting: rig.wire.say(kGet); break;
    case State::kBlocked:
      rig.wire.say(kGet);
      rig.last().answer(200, "hello");
      break;
    case State::kFlushing:
      rig.wire.say(kGet);
      answer_and_finish(rig.last());
      break;
    case State::kDiscarding:
      rig.wire.say(kPost);
      answer_and_finish(rig.last());
      break;
    case State::kLingering: rig.server->close("test"); break;
    case State::kOver: rig.wire.rst(); break;
    case State::kCount: break;
  }
}

TEST_CASE("h1_server: every state meets every event, twice, and the connection always ends") {
  const std::vector<std::function<void(ServerRig&)>> events = {
      [](ServerRig& r) { r.wire.tell(); },
      [](ServerRig& r) { r.wire.events->on_writable(); },
      [](ServerRig& r) { r.wire.unblock(); },
      [](ServerRig& r) { r.wire.say(kGet); },
      [](ServerRig& r) { r.wire.say(std::string(70'000, '\x01')); },
      [](ServerRig& r) { r.wire.fin(); },
      [](ServerRig& r) { r.wire.rst(); },
      [](ServerRig& r) { r.server->drain(true); },
      [](ServerRig& r) { r.server->close("test"); },
      [](ServerRig& r) { r.tick(); },
      [](ServerRig& r) { r.advance(seconds(200)); },
  };
  for (int state = 0; state < static_cast<int>(State::kCount); ++state) {
    for (size_t first = 0; first < events.size(); ++first) {
      for (size_t second = 0; second < events.size(); ++second) {
        CAPTURE(state);
        CAPTURE(first);
        CAPTURE(second);
        ServerRig rig;
        enter(static_cast<State>(state), rig);
        events[first](rig);
        events[second](rig);
        // Nobody hears of a stream that was finished, nor twice of an end.
        CHECK(rig.overs <= 1);
        if (rig.overs == 0) {
          rig.server->close("test");
          rig.tick();
          // A request that is still in hand has been told, and goes.
          if (rig.server->has_request() && !rig.exchanges.empty() && !rig.last().broken.empty()) {
            rig.last().stream.reset();
          }
          rig.wire.rst();
          rig.advance(seconds(10));
        }
        CHECK(rig.overs == 1);
        CHECK_FALSE(rig.server->has_request());
      }
    }
  }
}

}  // namespace
}  // namespace sluice::http
