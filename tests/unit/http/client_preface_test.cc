// Towards upstreams: a connection that begins with somebody's PROXY header.
#include <doctest/doctest.h>

#include "proxy/http/h1_client.h"
#include "proxy/http/uwsgi_client.h"
#include "tests/unit/http/client_rig.h"

namespace sluice::http {

using Delivery = ClientStream::Delivery;
using testing::ClientRig;
using testing::Listener;
using testing::request;

constexpr std::string_view kPreface = "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n";

TEST_CASE("client: the preface goes out with the first request, in one write") {
  ClientRig<H1Client> rig;
  rig.client->begin_with(kPreface);
  CHECK(rig.wire.writes == 0);
  rig.get();
  CHECK(rig.wire.writes == 1);
  CHECK(rig.wire.take() == std::string(kPreface) + "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  rig.wire.say("HTTP/1.1 204 X\r\n\r\n");
  CHECK(rig.listeners[0]->head.status == 204);
  rig.listeners[0]->stream->finish();
  CHECK(rig.reusable);  // by itself; whose it is the pool knows
}

TEST_CASE("client: before a uwsgi packet, too") {
  ClientRig<UwsgiClient> rig;
  rig.client->begin_with(kPreface);
  rig.get();
  const std::string sent = rig.wire.take();
  REQUIRE(sent.size() > kPreface.size() + 4);
  CHECK(sent.substr(0, kPreface.size()) == kPreface);
  const auto low = static_cast<uint8_t>(sent[kPreface.size() + 1]);
  const auto high = static_cast<uint8_t>(sent[kPreface.size() + 2]);
  CHECK(sent.size() == kPreface.size() + 4 + low + 256U * high);
}

TEST_CASE("client: who got no more than the preface got no request") {
  ClientRig<H1Client> rig;
  rig.client->begin_with(kPreface);
  rig.wire.write_room = kPreface.size();
  Listener& l = rig.get();
  CHECK(rig.wire.sent == kPreface);
  CHECK(l.stream->delivery() == Delivery::kNotSent);
  rig.wire.unblock(1);
  CHECK(l.stream->delivery() == Delivery::kUnknown);
}

TEST_CASE("client: a request that is held back is held behind the preface") {
  ClientRig<UwsgiClient> rig;
  rig.waits_when_begun = true;
  rig.client->begin_with(kPreface);
  Listener& l = rig.lease();
  rig.client->hold_rest();
  l.stream->send_head(request("POST", "/"));
  l.stream->send_end();
  l.stream->flush();
  CHECK(rig.begun == 1);
  CHECK(rig.wire.sent.size() == kPreface.size() + 4);  // and the packet's header
  CHECK(l.stream->delivery() == Delivery::kNotSent);
  rig.client->release_rest();
  CHECK(rig.wire.sent.size() > kPreface.size() + 4);
  CHECK(l.stream->delivery() == Delivery::kUnknown);
}

}  // namespace sluice::http
