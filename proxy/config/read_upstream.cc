#include <fmt/format.h>

#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr size_t kMostEndpoints = 1000;
constexpr uint64_t kMostRequests = 1'000'000'000'000;

void read_endpoints(MapReader& map, std::vector<EndpointSource>& into) {
  const auto items = read_items(map, "endpoints");
  if (items.empty()) {
    return map.fault("endpoints", "none given; write at least one, as in [127.0.0.1:8000] or "
                                  "[\"unix:/run/app.sock\"]");
  }
  if (items.size() > kMostEndpoints) {
    return map.fault("endpoints", fmt::format("are {}; {} is the most", items.size(),
                                              kMostEndpoints));
  }
  for (const auto& item : items) {
    auto address = parse_address(item.scalar, AddressUse::kConnect);
    if (!address) {
      map.faults().add(item, address.error().detail);
      continue;
    }
    bool is_new = true;
    for (const auto& other : into) {
      is_new = is_new && (other.address.host_or_path != address->host_or_path ||
                          other.address.port != address->port);
    }
    if (!is_new) map.faults().add(item, fmt::format("{} is given twice", item.scalar));
    if (!is_new) continue;
    EndpointSource source;
    source.address = std::move(*address);
    into.push_back(std::move(source));
  }
}

void read_kind(MapReader& map, Upstream& into) {
  const int protocol = map.choice("protocol", {"http1", "uwsgi"}, {"h2c", "h2", "fastcgi"});
  if (protocol >= 0) into.protocol = static_cast<Protocol>(protocol);
  const int balance = map.choice("balance", {"round_robin", "least_request"},
                                 {"peak_ewma", "ring_hash", "random", "maglev", "ip_hash"});
  if (balance >= 0) into.balance = static_cast<Balance>(balance);
}

}  // namespace

void read_upstream(MapReader& map, Upstream& into) {
  into.place = place_of(map.node());
  read_kind(map, into);
  read_endpoints(map, into.endpoints);
  map.refuse("health", "an endpoint is judged by its connections");
  map.refuse("tls", "upstreams are called in plain text");
  map.section("pool", [&into](MapReader& m) {
    m.duration("idle", into.pool.idle);
    m.number("spare", into.pool.spare, 0, 100'000);
    m.number("requests", into.pool.requests, 1, kMostRequests, "off");
  });
  read_buffering(map, into.buffering);
  map.section("timeouts", [&into](MapReader& m) {
    m.duration("connect", into.timeouts.connect, 10ms);
    m.duration("send", into.timeouts.send, 10ms);
    m.duration("first_byte", into.timeouts.first_byte, 10ms);
    m.duration("between_bytes", into.timeouts.between_bytes, 10ms);
  });
  map.number("max_in_flight", into.max_in_flight, 1, 1'000'000, "off");
  map.section("hold", [&into](MapReader& m) {
    m.duration("timeout", into.hold.timeout);
    m.number("requests", into.hold.requests, 0, 1'000'000);
    m.bytes("bytes", into.hold.bytes);
    m.refuse("unhealthy", "requests are held for a place under max_in_flight only");
  });
  map.section("retry", [&into](MapReader& m) {
    m.number("attempts", into.retry.attempts, 1, 10);
    m.percent("budget", into.retry.budget);
    m.refuse("methods", "the method decides: only what is safe to repeat is repeated");
  });
}

}  // namespace sluice::config
