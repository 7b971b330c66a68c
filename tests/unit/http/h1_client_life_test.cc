// H1Client where connections end, listeners leave, time passes, and every state meets every event.
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/http/h1_client.h"
#include "tests/unit/http/client_rig.h"

namespace sluice::http {
namespace {

using std::chrono::milliseconds;
using testing::Listener;
using testing::request;
using Rig = testing::ClientRig<H1Client>;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

TEST_CASE("h1_client: nothing sent is said so") {
  Rig rig;
  Listener& l = rig.lease();
  SUBCASE("EPIPE at the first write") {
    rig.wire.fail_writes = true;
    l.stream->send_head(request("POST", "/"));
    l.stream->send_end();
    l.stream->flush();
    CHECK(l.broken.empty());
    rig.tick();
  }
  SUBCASE("closed before the request") {
    rig.wire.fin();
  }
  SUBCASE("spoken to before the request") {
    rig.wire.say("HTTP/1.1 408 Request Timeout\r\n\r\n");
  }
  REQUIRE(l.broken.size() == 1);
  CHECK(l.heads == 0);
  CHECK(l.stream->delivery() == ClientStream::Delivery::kNotSent);
  l.stream->reset();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE("h1_client: an idle connection that speaks or ends is over") {
  Rig rig;
  SUBCASE("nothing") {
    rig.wire.queue("");
    rig.wire.tell();
    CHECK(rig.overs == 0);
    rig.wire.fin();
  }
  SUBCASE("FIN") {
    rig.wire.fin();
  }
  SUBCASE("RST") {
    rig.wire.rst();
  }
  SUBCASE("bytes") {
    rig.wire.say("HTTP/1.1 408 Request Timeout\r\n\r\n");
  }
  SUBCASE("FIN after a request") {
    Listener& l = rig.get();
    rig.wire.say(kOk);
    l.stream->finish();
    CHECK(rig.client->is_idle());
    rig.wire.fin();
  }
  CHECK(rig.overs == 1);
  CHECK_FALSE(rig.client->is_idle());
  rig.wire.tell();
  rig.tick();
  CHECK(rig.overs == 1);
}

TEST_CASE("h1_client: a FIN right behind the answer is seen before the connection is kept") {
  Rig rig;
  Listener& l = rig.get();
  rig.wire.ended = true;
  rig.wire.say(kOk);
  CHECK(l.last == BodyRead::kEnd);
  l.stream->finish();
  CHECK_FALSE(rig.reusable);
}

TEST_CASE("h1_client: a request given up half way spends the connection") {
  Rig rig;
  Listener& l = rig.get();
  SUBCASE("before the answer") {}
  SUBCASE("within the answer") {
    rig.wire.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
  }
  SUBCASE("within the head") {
    rig.wire.say("HTTP/1.1 200");
  }
  l.stream->finish();
  CHECK(rig.streams_over == 1);
  CHECK_FALSE(rig.reusable);
  rig.wire.say("more");
  rig.advance(std::chrono::hours(1));
  CHECK(l.broken.empty());
}

TEST_CASE("h1_client: the listener may leave from inside its news") {
  Rig rig;
  Listener& l = rig.get();
  l.on_headed = [&l] { l.stream->finish(); };
  rig.wire.say(kOk);
  CHECK(rig.reusable);
  Listener& next = rig.get();
  next.greedy = false;
  next.on_headed = [&next] { next.stream->reset(); };
  rig.wire.say(kOk);
  CHECK_FALSE(rig.reusable);
  CHECK(rig.streams_over == 2);
}

TEST_CASE("h1_client: time between two writes is limited") {
  Rig rig;
  rig.wire.write_room = 10;
  Listener& l = rig.get();
  rig.advance(rig.limits.send - milliseconds(2));
  rig.wire.unblock(1);
  rig.advance(rig.limits.send - milliseconds(2));
  CHECK(l.broken.empty());
  rig.advance(milliseconds(4));
  REQUIRE(l.broken.size() == 1);
  CHECK(l.broken[0].code == ErrorCode::kTimeout);
  CHECK(l.broken[0].side == Side::kUpstream);
  CHECK(l.stream->delivery() == ClientStream::Delivery::kUnknown);
  l.stream->reset();
  CHECK_FALSE(rig.reusable);
}

// States × events: lends a stream in each state, then lets two things happen.
TEST_CASE("h1_client: every state meets every event, twice, and the stream always ends") {
  const std::vector<std::function<void(Rig&, Listener&)>> states = {
      [](Rig&, Listener&) {},
      [](Rig&, Listener& l) { l.stream->send_head(request("GET", "/")); },
      [](Rig& r, Listener& l) {
        r.wire.write_room = 10;
        l.stream->send_head(request("POST", "/", BodySize::unknown()));
        l.send("abc");
        l.stream->flush();
      },
      [](Rig&, Listener& l) {
        l.stream->send_head(request("GET", "/"));
        l.stream->send_end();
        l.stream->flush();
      },
      [](Rig& r, Listener& l) {
        l.stream->send_head(request("GET", "/"));
        l.stream->send_end();
        l.stream->flush();
        r.wire.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
      },
      [](Rig& r, Listener& l) {
        l.greedy = false;
        l.stream->send_head(request("GET", "/"));
        l.stream->send_end();
        l.stream->flush();
        r.wire.say("HTTP/1.1 200 OK\r\n\r\nab");
      },
      [](Rig& r, Listener& l) {
        l.stream->send_head(request("GET", "/"));
        l.stream->flush();
        r.wire.say(kOk);
      },
  };
  const std::vector<std::function<void(Rig&, Listener&)>> events = {
      [](Rig& r, Listener&) { r.wire.tell(); },
      [](Rig& r, Listener&) { r.wire.events->on_writable(); },
      [](Rig& r, Listener&) { r.wire.unblock(); },
      [](Rig& r, Listener&) { r.wire.say(kOk); },
      [](Rig& r, Listener&) { r.wire.say(std::string(300'000, 'x')); },
      [](Rig& r, Listener&) { r.wire.fin(); },
      [](Rig& r, Listener&) { r.wire.rst(); },
      [](Rig&, Listener& l) { l.stream->flush(); },
      [](Rig&, Listener& l) { l.read(); },
      [](Rig& r, Listener&) { r.advance(std::chrono::hours(1)); },
  };
  for (size_t state = 0; state < states.size(); ++state) {
    for (size_t first = 0; first < events.size(); ++first) {
      for (size_t second = 0; second < events.size(); ++second) {
        CAPTURE(state);
        CAPTURE(first);
        CAPTURE(second);
        Rig rig;
        Listener& l = rig.lease();
        states[state](rig, l);
        events[first](rig, l);
        events[second](rig, l);
        rig.tick();
        CHECK(l.broken.size() <= 1);
        CHECK(l.heads <= 1);
        CHECK(rig.streams_over == 0);
        l.stream->finish();
        CHECK(rig.streams_over == 1);
        const size_t broken = l.broken.size();
        rig.wire.rst();
        rig.advance(std::chrono::hours(1));
        CHECK(l.broken.size() == broken);
        CHECK(rig.overs == (rig.reusable ? 1 : 0));
      }
    }
  }
}

}  // namespace
}  // namespace sluice::http
