#include "proxy/config/readers.h"
#include "proxy/config/units.h"

namespace sluice::config {
namespace {

constexpr uint64_t kMostRequests = 1'000'000'000'000;

void read_rate(MapReader& map, std::string_view name, std::string_view burst, Rate& into) {
  if (const Node* found = map.scalar(name); found != nullptr && found->scalar != "off") {
    const auto rate = parse_rate(found->scalar);
    if (rate) {
      into.count = rate->count;
      into.per = rate->per;
    } else {
      map.faults().add(*found, rate.error().detail);
    }
  }
  map.number(burst, into.burst, 1, 1'000'000, "auto");
}

void read_limits(MapReader& map, ListenerLimits& into) {
  map.bytes("line", into.line, 256_B);
  map.bytes("headers", into.headers, 1_KiB);
  map.number("header_count", into.header_count, 10, 10'000);
  map.bytes("body", into.body);
  map.number("connections", into.connections, 1, 10'000'000);
  map.number("handshakes", into.handshakes, 1, 10'000'000);
  map.number("requests", into.requests, 1, kMostRequests, "off");
  map.number("streams", into.streams, 1, 10'000, "off");
  map.bytes("body_rate", into.body_rate, 1_B, "off");
  map.bytes("send_rate", into.send_rate, 1_B, "off");
  map.number("client_connections", into.client_connections, 1, 10'000'000, "off");
  read_rate(map, "connection_rate", "connection_burst", into.connection_rate);
  read_rate(map, "request_rate", "request_burst", into.request_rate);
}

void read_timeouts(MapReader& map, ListenerTimeouts& into) {
  map.duration("first_byte", into.first_byte, 10ms);
  map.duration("handshake", into.handshake, 10ms);
  map.duration("header", into.header, 10ms);
  map.duration("body", into.body, 10ms);
  map.duration("idle", into.idle, 10ms);
  map.duration("send", into.send, 10ms);
  map.duration("ping", into.ping, 10ms, "off");
}

}  // namespace

void read_listener(MapReader& map, Listener& into) {
  into.place = place_of(map.node());
  if (!map.has("address")) {
    map.fault("address", "is missing; write the address to listen on, as in 0.0.0.0:8080");
  }
  read_address(map, "address", AddressUse::kListen, into.address);
  for (const auto& item : read_items(map, "trusted_proxies")) {
    const auto network = parse_network(item.scalar);
    if (network) {
      into.trusted_proxies.push_back(*network);
    } else {
      map.faults().add(item, network.error().detail);
    }
  }
  const int proxy = map.choice("proxy_protocol", {"off", "optional", "required"});
  if (proxy >= 0) into.proxy_protocol = static_cast<ProxyProtocol>(proxy);
  if (into.proxy_protocol == ProxyProtocol::kOptional && into.trusted_proxies.empty()) {
    map.fault("proxy_protocol",
              "optional means a header from trusted_proxies, and there are none; name them, or "
              "write required");
  }
  map.section_or_off(
      "tls", "{ certificates: [ { cert: a.pem, key: a.key } ] }",
      [&into](MapReader& m) { read_tls(m, into.tls); }, [&into] { into.tls = Tls{}; });
  map.section("limits", [&into](MapReader& m) { read_limits(m, into.limits); });
  map.section("timeouts", [&into](MapReader& m) { read_timeouts(m, into.timeouts); });
  map.number("backlog", into.backlog, 1, 65535);
}

}  // namespace sluice::config
