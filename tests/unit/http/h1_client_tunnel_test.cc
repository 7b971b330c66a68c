// H1Client behind a 101: sending begins anew, and both ways are raw.
#include <doctest/doctest.h>

#include "proxy/http/h1_client.h"
#include "tests/unit/http/client_rig.h"

namespace sluice::testing {
namespace {

using Rig = ClientRig<http::H1Client>;

constexpr std::string_view kSwitched =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

Listener& open(Rig& rig, std::string_view behind = {}) {
  http::RequestHead head = request("GET", "/chat");
  head.upgrade = "tcp";
  Listener& listener = rig.ask(std::move(head));
  CHECK(rig.wire.take().ends_with("Connection: upgrade\r\nUpgrade: tcp\r\n\r\n"));
  rig.wire.say(std::string(kSwitched) + std::string(behind));
  CHECK(listener.heads == 1);
  CHECK(listener.head.status == 101);
  CHECK(listener.head.upgrade == "tcp");
  return listener;
}

}  // namespace

TEST_CASE("h1 client: behind 101 the bytes are as they come, both ways") {
  for (const bool one_byte : {false, true}) {
    Rig rig(one_byte);
    Listener& listener = open(rig, "HTTP/1.1 200 early\r\n");
    rig.wire.say("more");
    CHECK(listener.body == "HTTP/1.1 200 early\r\nmore");
    listener.send("raw");
    listener.stream->flush();
    CHECK(rig.wire.take() == "raw");
    listener.stream->finish();
    CHECK_FALSE(rig.reusable);
  }
}

TEST_CASE("h1 client: each way of a tunnel is closed by itself") {
  SUBCASE("our way first, behind what is still on its way") {
    Rig rig;
    Listener& listener = open(rig);
    rig.wire.write_room = 2;
    listener.send("bytes");
    listener.stream->send_end();
    listener.stream->flush();
    CHECK_FALSE(rig.wire.shut);
    rig.wire.unblock();
    CHECK(rig.wire.take() == "bytes");
    CHECK(rig.wire.shut);
    rig.wire.say("late");
    CHECK(listener.body == "late");
    rig.wire.fin();
    CHECK(listener.last == http::BodyRead::kEnd);
    CHECK(listener.broken.empty());
  }
  SUBCASE("the other way first") {
    Rig rig;
    Listener& listener = open(rig);
    rig.wire.fin();
    CHECK(listener.last == http::BodyRead::kEnd);
    listener.send("on we go");
    listener.stream->flush();
    CHECK(rig.wire.take() == "on we go");
    rig.wire.fail_writes = true;
    listener.send("nobody there");
    listener.stream->flush();
    rig.tick();
    REQUIRE(listener.broken.size() == 1);
    CHECK(listener.broken[0].side == Side::kUpstream);
  }
}

TEST_CASE("h1 client: what was said before the loss is read before it is told") {
  Rig rig;
  Listener& listener = open(rig);
  listener.greedy = false;
  rig.wire.fail_writes = true;
  listener.send("x");
  listener.stream->flush();
  rig.wire.queue("goodbye");
  rig.wire.fin();
  rig.tick();
  CHECK(listener.broken.empty());
  CHECK(listener.read() == http::BodyRead::kBroken);
  CHECK(listener.body == "goodbye");
  rig.tick();
  CHECK(listener.broken.size() == 1);
}

TEST_CASE("h1 client: a tunnel has none of the codec's deadlines") {
  Rig rig;
  Listener& listener = open(rig);
  rig.wire.write_room = 0;
  listener.send("slow reader");
  listener.stream->flush();
  rig.advance(std::chrono::hours(2));
  CHECK(listener.broken.empty());
}

}  // namespace sluice::testing
