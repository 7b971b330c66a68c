#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "proxy/exchange/relay.h"
#include "tests/unit/exchange/fake_streams.h"
#include "tests/unit/exchange/relay_filters.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::exchange;
using namespace sluice::testing;

namespace {

struct Rig {
  RequestRelay& start(uint64_t most = 1 << 30) {
    relay = std::make_unique<RequestRelay>(client, *filters, budget, limits, UINT64_MAX, most);
    return *relay;
  }
  std::string replayed() {
    FakeUpstream reader;
    reader.send_body(relay->replay());
    reader.flush();
    return reader.sent;
  }

  Folder folder;
  SpillBudget budget{folder.path(), 64 << 20};
  config::Buffering limits;
  filter::FilterChain none;
  filter::FilterChain* filters = &none;
  FakeClient client;
  FakeUpstream upstream;
  std::unique_ptr<RequestRelay> relay;
};

}  // namespace

TEST_CASE("request_relay: a body is taken to its end before anybody is asked") {
  Rig rig;
  RequestRelay& relay = rig.start();
  CHECK(relay.pump_to_store() == Flow::kWaitsForSource);
  CHECK_FALSE(relay.has_begun());
  rig.client.incoming = "one ";
  CHECK(relay.pump_to_store() == Flow::kWaitsForSource);
  CHECK(relay.has_begun());
  rig.client.incoming = "two";
  rig.client.complete = true;
  CHECK(relay.pump_to_store() == Flow::kDone);
  CHECK(relay.pump_to_store() == Flow::kDone);
  CHECK(relay.size() == 7);
  CHECK(relay.stored() == 7);
  CHECK(rig.replayed() == "one two");
  CHECK(rig.replayed() == "one two");  // for the next try
}

TEST_CASE("request_relay: a large body waits on disk, and is whole") {
  Rig rig;
  RequestRelay& relay = rig.start();
  const std::string body = numbers(3 << 20);
  rig.client.incoming = body;
  rig.client.complete = true;
  CHECK(relay.pump_to_store() == Flow::kDone);
  CHECK(rig.budget.used() >= body.size() - (64 << 10));
  CHECK(rig.replayed() == body);
  rig.relay.reset();
  CHECK(rig.budget.used() == 0);
}

TEST_CASE("request_relay: each ceiling has its own reason") {
  Rig rig;
  rig.limits.disk = 1_MiB;
  rig.client.incoming = numbers(2 << 20);
  SUBCASE("the listener's") {
    RequestRelay& relay = rig.start(1 << 20);
    CHECK(relay.pump_to_store() == Flow::kFailed);
    CHECK(relay.outcome().reason == "body_too_large");
    CHECK(relay.outcome().status == 413);
  }
  SUBCASE("the body's share of the disk") {
    RequestRelay& relay = rig.start();
    CHECK(relay.pump_to_store() == Flow::kFailed);
    CHECK(relay.outcome().reason == "body_over_buffering_disk");
    CHECK(relay.outcome().status == 413);
  }
  SUBCASE("all spill files together") {
    rig.budget.set_ceiling(100'000);
    RequestRelay& relay = rig.start();
    CHECK(relay.pump_to_store() == Flow::kFailed);
    CHECK(relay.outcome().reason == "spill_ceiling");
    CHECK(relay.outcome().status == 503);
  }
  SUBCASE("while streaming") {
    RequestRelay& relay = rig.start(1 << 20);
    Flow flow = Flow::kYields;
    while (flow == Flow::kYields) flow = relay.pump_to(rig.upstream);
    CHECK(flow == Flow::kFailed);
    CHECK(relay.outcome().reason == "body_too_large");
    CHECK(rig.upstream.ends == 0);
  }
}

TEST_CASE("request_relay: a folder that cannot be written ends the request") {
  Rig rig;
  SpillBudget nowhere(rig.folder / "missing", 1 << 20);
  rig.client.incoming = numbers(200'000);
  RequestRelay relay(rig.client, rig.none, nowhere, rig.limits, UINT64_MAX, 1 << 30);
  CHECK(relay.pump_to_store() == Flow::kFailed);
  CHECK(relay.outcome().status == 507);
  CHECK(relay.outcome().reason == "spill_failed");
}

TEST_CASE("request_relay: streaming goes at the upstream's pace") {
  Rig rig;
  RequestRelay& relay = rig.start();
  const std::string body = numbers(1 << 20);
  rig.client.incoming = body;
  rig.client.complete = true;
  rig.client.its_trailers.add("X-Sum", "1");
  rig.upstream.room = 0;
  CHECK(relay.pump_to(rig.upstream) == Flow::kWaitsForSink);
  CHECK(rig.upstream.most_unsent <= 2 * Block::kSize);
  CHECK(rig.client.incoming.size() >= body.size() - 2 * Block::kSize);
  Flow flow = Flow::kWaitsForSink;
  for (int i = 0; flow != Flow::kDone && i < 1000; ++i) {
    rig.upstream.room = 10'000;
    flow = relay.pump_to(rig.upstream);
  }
  REQUIRE(flow == Flow::kDone);
  rig.upstream.room = UINT64_MAX;
  rig.upstream.flush();
  CHECK(rig.upstream.sent == body);
  CHECK(rig.upstream.ends == 1);
  CHECK(rig.upstream.trailers_sent.get("X-Sum") == "1");
  CHECK(rig.upstream.most_unsent <= 2 * Block::kSize);
  CHECK(relay.pump_to(rig.upstream) == Flow::kDone);
  CHECK(rig.upstream.ends == 1);
}

TEST_CASE("request_relay: a fast pair lets others have their turn") {
  Rig rig;
  RequestRelay& relay = rig.start();
  rig.client.incoming = numbers(4 << 20);
  CHECK(relay.pump_to(rig.upstream) == Flow::kYields);
  CHECK(rig.upstream.sent.size() == 16 * Block::kSize);
}

TEST_CASE("request_relay: filters see all of it and its end, stored or streamed") {
  Rig rig;
  Marked marked;
  rig.filters = &marked.chain;
  RequestRelay& relay = rig.start();
  rig.client.incoming = "abc";
  SUBCASE("stored") {
    CHECK(relay.pump_to_store() == Flow::kWaitsForSource);
    rig.client.complete = true;
    CHECK(relay.pump_to_store() == Flow::kDone);
    CHECK(rig.replayed() == "ABC.");
  }
  SUBCASE("streamed") {
    CHECK(relay.pump_to(rig.upstream) == Flow::kWaitsForSource);
    CHECK(rig.upstream.sent == "ABC");
    rig.client.complete = true;
    CHECK(relay.pump_to(rig.upstream) == Flow::kDone);
    CHECK(rig.upstream.sent == "ABC.");
  }
  CHECK(relay.size() == 3);
}

TEST_CASE("request_relay: a filter that fails ends the request") {
  Rig rig;
  Marked marked(true);
  rig.filters = &marked.chain;
  rig.client.incoming = "abc";
  RequestRelay& relay = rig.start();
  CHECK(relay.pump_to_store() == Flow::kFailed);
  CHECK(relay.outcome().reason == "filter_failed");
  CHECK(relay.outcome().status == 500);
}

TEST_CASE("request_relay: a client that breaks off is heard of elsewhere") {
  Rig rig;
  RequestRelay& relay = rig.start();
  rig.client.broken = true;
  CHECK(relay.pump_to_store() == Flow::kWaitsForSource);
  CHECK(relay.pump_to(rig.upstream) == Flow::kWaitsForSource);
  CHECK(rig.upstream.ends == 0);
}
