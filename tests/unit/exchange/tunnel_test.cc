// A tunnel between two streams without a wire: what is relayed, when it holds back, how it ends.
#include <doctest/doctest.h>

#include "proxy/exchange/tunnel.h"
#include "tests/unit/exchange/fake_streams.h"

namespace sluice::testing {
namespace {

using exchange::Flow;
using exchange::Tunnel;
using observe::TunnelEnd;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kText("\x81\x05hello", 7);
const std::string kTextMasked("\x81\x85\x01\x02\x03\x04hello", 11);
const std::string kClose1012("\x88\x02\x03\xf4", 4);
const std::string kEcho("\x88\x82\0\0\0\0\x03\xf4", 8);

struct Rig {
  explicit Rig(bool is_websocket, Duration idle = {}, Duration max_age = {})
      : tunnel(client, upstream, {is_websocket, idle, max_age}, now) {}

  Flow pump() { return tunnel.pump(now); }
  void pass(Duration time) {
    now += time;
    tunnel.on_time(now);
  }
  // Until nothing more moves.
  Flow settle() {
    Flow flow = pump();
    while (flow == Flow::kYields) flow = pump();
    return flow;
  }

  TimePoint now{seconds(100)};
  FakeClient client;
  FakeUpstream upstream;
  Tunnel tunnel;
};

}  // namespace

TEST_CASE("tunnel: bytes go both ways, and each way ends by itself") {
  Rig rig(false);
  rig.client.incoming = "ping";
  rig.upstream.incoming = "pong";
  CHECK(rig.settle() == Flow::kWaitsForSource);
  CHECK(rig.upstream.sent == "ping");
  CHECK(rig.client.sent == "pong");
  rig.client.complete = true;
  rig.settle();
  CHECK(rig.upstream.ends == 1);
  CHECK(rig.client.ends == 0);
  rig.upstream.incoming = "more";
  CHECK(rig.settle() != Flow::kDone);
  CHECK(rig.client.sent == "pongmore");
  rig.upstream.complete = true;
  CHECK(rig.settle() == Flow::kDone);
  CHECK(rig.client.ends == 1);
  CHECK(rig.tunnel.ending() == TunnelEnd::kClient);
  CHECK(rig.tunnel.received() == 4);
  CHECK(rig.tunnel.sent() == 8);
}

TEST_CASE("tunnel: a slow reader holds its writer back, and only that way") {
  Rig rig(false);
  const std::string much = numbers(4 << 20);
  rig.upstream.incoming = much;
  rig.client.room = 1000;
  rig.client.incoming = "up";
  CHECK(rig.settle() != Flow::kDone);
  CHECK(rig.client.most_unsent < 64 * 1024 + Block::kSize);
  CHECK(rig.upstream.incoming.size() > much.size() - 200 * 1024);
  CHECK(rig.upstream.sent == "up");
  while (rig.client.sent.size() < much.size()) {
    rig.client.room = 50'000;
    rig.client.flush();
    rig.settle();
  }
  CHECK(rig.client.sent == much);
  CHECK(rig.client.most_unsent < 64 * 1024 + Block::kSize);
}

TEST_CASE("tunnel: it is not over before the last byte is with the kernel") {
  Rig rig(false);
  rig.client.complete = rig.upstream.complete = true;
  rig.upstream.incoming = "last";
  rig.client.room = 1;
  CHECK(rig.settle() != Flow::kDone);
  rig.client.room = 100;
  CHECK(rig.settle() == Flow::kDone);
  CHECK(rig.client.sent == "last");
}

TEST_CASE("tunnel: a WebSocket's drain is a Close frame to either side, then FINs") {
  Rig rig(true);
  rig.client.incoming = kTextMasked;
  rig.upstream.incoming = kText;
  rig.settle();
  rig.tunnel.end_at(rig.now + milliseconds(300), rig.now + seconds(5));
  CHECK(rig.tunnel.due() == rig.now + milliseconds(300));
  rig.pass(milliseconds(300));
  rig.settle();
  CHECK(rig.client.sent == kText + kClose1012);
  REQUIRE(rig.upstream.sent.size() == kTextMasked.size() + 8);
  const std::string ours = rig.upstream.sent.substr(kTextMasked.size());
  CHECK(ours.substr(0, 2) == "\x88\x82");
  CHECK((ours[6] ^ ours[2]) == 0x03);
  CHECK(static_cast<uint8_t>(ours[7] ^ ours[3]) == 0xf4);
  CHECK(rig.client.ends + rig.upstream.ends == 0);
  // What was on its way is dropped, the answers are seen.
  rig.client.incoming = kTextMasked + kEcho;
  rig.settle();
  CHECK(rig.client.ends + rig.upstream.ends == 0);
  rig.upstream.incoming = kClose1012;
  rig.settle();
  CHECK(rig.client.ends == 1);
  CHECK(rig.upstream.ends == 1);
  CHECK(rig.upstream.sent.size() == kTextMasked.size() + 8);
  rig.client.complete = rig.upstream.complete = true;
  CHECK(rig.settle() == Flow::kDone);
  CHECK(rig.tunnel.ending() == TunnelEnd::kDrain);
}

TEST_CASE("tunnel: an answer to the Close frame is waited for one second, a FIN another") {
  Rig rig(true);
  rig.tunnel.end_at(rig.now, rig.now + seconds(5));
  rig.pass({});
  rig.settle();
  CHECK(rig.client.sent == kClose1012);
  rig.pass(milliseconds(990));
  rig.settle();
  CHECK(rig.client.ends == 0);
  rig.pass(milliseconds(10));
  rig.settle();
  CHECK(rig.client.ends == 1);
  CHECK(rig.upstream.ends == 1);
  rig.pass(seconds(1));
  CHECK(rig.settle() == Flow::kDone);
}

TEST_CASE("tunnel: a Close frame never stands within another frame") {
  for (size_t cut = 1; cut < kText.size(); ++cut) {
    CAPTURE(cut);
    Rig rig(true);
    rig.upstream.incoming = kText + kText.substr(0, cut);
    rig.settle();
    rig.tunnel.end_at(rig.now, rig.now + seconds(5));
    rig.pass({});
    rig.settle();
    CHECK(rig.client.sent == kText + kText.substr(0, cut));
    // One byte at a time to the end of the frame; the next frame stays behind.
    for (const char byte : kText.substr(cut) + kText) {
      rig.upstream.incoming = std::string(1, byte);
      rig.settle();
    }
    CHECK(rig.client.sent == kText + kText + kClose1012);
  }
}

TEST_CASE("tunnel: a frame that does not end has the rest of the budget, and no Close frame") {
  Rig rig(true);
  rig.upstream.incoming = kText.substr(0, 3);
  rig.settle();
  rig.tunnel.end_at(rig.now, rig.now + seconds(5));
  rig.pass({});
  rig.settle();
  rig.pass(seconds(4));
  rig.settle();
  CHECK(rig.client.ends == 0);
  rig.pass(seconds(1));
  rig.settle();
  CHECK(rig.client.ends == 1);
  CHECK(rig.client.sent == kText.substr(0, 3));
}

TEST_CASE("tunnel: who has said Close is not told anything behind it") {
  Rig rig(true);
  rig.upstream.incoming = kClose1012;
  rig.settle();
  rig.tunnel.end_at(rig.now, rig.now + seconds(5));
  rig.pass({});
  rig.settle();
  CHECK(rig.client.sent == kClose1012);
  CHECK(rig.upstream.sent.size() == 8);
  rig.client.incoming = kEcho;
  rig.settle();
  CHECK(rig.client.ends == 1);
  CHECK(rig.tunnel.ending() == TunnelEnd::kUpstream);
}

TEST_CASE("tunnel: another protocol ends by our FINs, at the last moment") {
  Rig rig(false);
  rig.tunnel.end_at(rig.now + seconds(1), rig.now + seconds(5));
  rig.pass(seconds(4));
  rig.upstream.incoming = "still";
  rig.settle();
  CHECK(rig.client.sent == "still");
  rig.pass(seconds(1));
  rig.settle();
  CHECK(rig.client.ends == 1);
  CHECK(rig.upstream.ends == 1);
  rig.upstream.incoming = "too late";
  CHECK(rig.settle() != Flow::kDone);
  CHECK(rig.client.sent == "still");
  rig.pass(seconds(1));
  CHECK(rig.settle() == Flow::kDone);
  CHECK(rig.tunnel.ending() == TunnelEnd::kDrain);
}

TEST_CASE("tunnel: silence and age end it") {
  SUBCASE("silence, from either side") {
    Rig rig(true, seconds(10));
    CHECK(rig.tunnel.due() == rig.now + seconds(10));
    rig.now += seconds(9);
    rig.upstream.incoming = kText;
    rig.settle();
    CHECK(rig.tunnel.due() == rig.now + seconds(10));
    rig.pass(seconds(9));
    CHECK(rig.tunnel.is_open());
    rig.pass(seconds(1));
    CHECK_FALSE(rig.tunnel.is_open());
    rig.settle();
    CHECK(rig.client.sent == kText + std::string("\x88\x02\x03\xe9", 4));
    CHECK(rig.tunnel.ending() == TunnelEnd::kIdle);
  }
  SUBCASE("age") {
    Rig rig(true, seconds(10), seconds(15));
    rig.now += seconds(9);
    rig.client.incoming = kTextMasked;
    rig.settle();
    CHECK(rig.tunnel.due() == rig.now + seconds(6));
    rig.pass(seconds(6));
    CHECK(rig.tunnel.ending() == TunnelEnd::kMaxAge);
  }
  SUBCASE("neither, where there is no limit") {
    Rig rig(true);
    CHECK(rig.tunnel.due() == TimePoint::max());
  }
}

TEST_CASE("tunnel: places are counted, and given back") {
  const auto count = std::make_shared<exchange::TunnelCount>(0);
  exchange::TunnelPlace first;
  CHECK(first.take(count, 2));
  {
    exchange::TunnelPlace second;
    exchange::TunnelPlace third;
    CHECK(second.take(count, 2));
    CHECK_FALSE(third.take(count, 2));
    CHECK(count->load() == 2);
  }
  CHECK(count->load() == 1);
}

}  // namespace sluice::testing
