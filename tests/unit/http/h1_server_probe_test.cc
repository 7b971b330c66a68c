// H1Server and a client that may have left: a FIN behind a request that waits.
#include <doctest/doctest.h>

#include "tests/unit/http/server_rig.h"

namespace sluice::http {
namespace {

using testing::ServerRig;
using testing::without_date;

void ask(ServerRig& rig) {
  rig.start();
  rig.wire.say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(rig.exchanges.size() == 1);
}

TEST_CASE("probe: a FIN behind a request is told of once") {
  ServerRig rig;
  ask(rig);
  CHECK(rig.last().ended == 0);
  rig.wire.fin();
  CHECK(rig.last().ended == 1);
  rig.wire.tell();
  CHECK(rig.last().ended == 1);
  CHECK(rig.last().broken.empty());
}

TEST_CASE("probe: nothing is said to a client that has not sent its FIN") {
  ServerRig rig;
  ask(rig);
  CHECK_FALSE(rig.last().stream.probe());
  CHECK(rig.wire.take().empty());
}

TEST_CASE("probe: a half-closed client gets exactly one answer") {
  ServerRig rig;
  ask(rig);
  SUBCASE("which heard of it before") {
    rig.wire.fin();
  }
  SUBCASE("which did not") {
    rig.wire.ended = true;
    rig.wire.readable = true;
  }
  CHECK(rig.last().stream.probe());
  CHECK(rig.wire.sent == "HTTP/1.1 ");
  CHECK_FALSE(rig.last().stream.probe());
  rig.last().answer(200, "hi");
  rig.last().stream.finish();
  CHECK(without_date(rig.wire.take()) == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  rig.tick();
  CHECK(rig.overs == 1);
}

TEST_CASE("probe: what is asked early may be followed by an interim head") {
  ServerRig rig;
  ask(rig);
  rig.wire.fin();
  CHECK(rig.last().stream.probe());
  ResponseHead early;
  early.status = 103;
  rig.last().stream.send_interim(early);
  rig.last().answer(200, "hi");
  CHECK(without_date(rig.wire.take()) ==
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

TEST_CASE("probe: a client that has closed answers by RST, which breaks the stream") {
  ServerRig rig;
  ask(rig);
  rig.wire.fin();
  CHECK(rig.last().stream.probe());
  CHECK(rig.last().broken.empty());
  rig.wire.rst();
  REQUIRE(rig.last().broken.size() == 1);
  CHECK(rig.last().broken[0].code == ErrorCode::kReset);
  CHECK(rig.last().broken[0].side == Side::kClient);
  rig.last().stream.reset();
  rig.tick();
  CHECK(rig.overs == 1);
}

TEST_CASE("probe: where the write already fails, the news comes later and not from inside") {
  ServerRig rig;
  ask(rig);
  rig.wire.fin();
  rig.wire.fail_writes = true;
  rig.last().stream.probe();
  CHECK(rig.last().broken.empty());
  rig.tick();
  REQUIRE(rig.last().broken.size() == 1);
  CHECK(rig.last().broken[0].code == ErrorCode::kReset);
  rig.last().stream.reset();
}

TEST_CASE("probe: a RST that came together with the request is found by looking") {
  ServerRig rig;
  ask(rig);
  rig.wire.broken = true;
  rig.wire.readable = true;
  CHECK_FALSE(rig.last().stream.probe());
  rig.tick();
  REQUIRE(rig.last().broken.size() == 1);
  rig.last().stream.reset();
}

TEST_CASE("probe: not after an answer has begun") {
  ServerRig rig;
  ask(rig);
  rig.last().begin_unknown();
  rig.wire.fin();
  CHECK_FALSE(rig.last().stream.probe());
}

}  // namespace
}  // namespace sluice::http
