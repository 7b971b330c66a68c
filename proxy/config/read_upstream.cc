// An upstream: how it is spoken to, which of its endpoints is next, how patient we are.
#include <fmt/format.h>

#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr uint64_t kMostRequests = 1'000'000'000'000;
constexpr std::string_view kRouteRetry =
    "it with the route: routes: [ { path: /, retry: { methods: [POST], idempotency_key: on } } ]";

void read_hash(MapReader& map, HashKey& into) {
  bool address = false;
  map.text("header", into.name);
  map.text("cookie", into.name);
  map.flag("address", address);
  if (map.has("header") + map.has("cookie") + (address ? 1 : 0) != 1) {
    return map.fault("", "is not one thing; write { header: X-User }, { cookie: sid } or "
                         "{ address: on }");
  }
  if (address) return;
  into.kind = map.has("header") ? HashKey::Kind::kHeader : HashKey::Kind::kCookie;
  if (is_token(into.name)) return;
  map.fault(map.has("header") ? "header" : "cookie", fmt::format("\"{}\" is no name", into.name));
}

void read_sticky(MapReader& map, Sticky& into) {
  map.text("cookie", into.cookie);
  map.duration("age", into.age, 1s, "session");
  if (!map.has("cookie")) {
    map.fault("cookie", "is missing; write the name of the cookie, as in { cookie: sluice }");
  } else if (!is_token(into.cookie)) {
    map.fault("cookie", fmt::format("\"{}\" is no name of a cookie", into.cookie));
  }
}

void read_balance(MapReader& map, Upstream& into) {
  const int balance = map.choice(
      "balance", {"round_robin", "least_request", "random", "peak_ewma", "ring_hash"},
      {"maglev", "ip_hash"});
  if (balance >= 0) into.balance = static_cast<Balance>(balance);
  map.section("hash", [&into](MapReader& m) { read_hash(m, into.hash); });
  const bool is_told = map.has("balance") && balance < 0;
  if (map.has("hash") && into.balance != Balance::kRingHash && !is_told) {
    map.fault("hash", "is for balance: ring_hash; write that as well, or leave this out");
  }
  map.section("sticky", [&into](MapReader& m) { read_sticky(m, into.sticky); });
  map.percent("panic", into.panic, "off");
  map.duration("slow_start", into.slow_start, 10ms, "off");
}

void read_pool(MapReader& map, Pool& into) {
  map.duration("idle", into.idle);
  map.flag("learn", into.learn);
  map.duration("unsafe_idle", into.unsafe_idle);
  map.number("spare", into.spare, 0, 100'000);
  map.number("requests", into.requests, 1, kMostRequests, "off");
}

void read_timeouts(MapReader& map, UpstreamTimeouts& into) {
  map.duration("connect", into.connect, 10ms);
  map.duration("send", into.send, 10ms);
  map.duration("first_byte", into.first_byte, 10ms);
  map.duration("between_bytes", into.between_bytes, 10ms);
}

void read_hold(MapReader& map, Hold& into) {
  map.duration("timeout", into.timeout);
  map.number("requests", into.requests, 0, 1'000'000);
  map.bytes("bytes", into.bytes);
  map.duration("unhealthy_after", into.unhealthy_after, 10ms, "off");
  map.number("ramp", into.ramp, 1, 1'000'000, "off");
}

void read_retry(MapReader& map, Retry& into) {
  map.number("attempts", into.attempts, 1, 10);
  map.percent("budget", into.budget);
  map.duration("backoff", into.backoff);
  map.duration("max_backoff", into.max_backoff);
  map.duration("per_try", into.per_try, 10ms, "off");
  map.misplaced("methods", kRouteRetry);
  map.misplaced("idempotency_key", kRouteRetry);
  check_order(map, "backoff", into.backoff, "max_backoff", into.max_backoff);
}

}  // namespace

void read_upstream(MapReader& map, Upstream& into) {
  into.place = place_of(map.node());
  const int protocol = map.choice("protocol", {"http1", "uwsgi", "fastcgi"}, {"h2c", "h2"});
  if (protocol >= 0) into.protocol = static_cast<Protocol>(protocol);
  map.section("fastcgi", [&into](MapReader& m) { read_fastcgi(m, into.fastcgi); });
  const bool is_told = map.has("protocol") && protocol < 0;
  if (map.has("fastcgi") && into.protocol != Protocol::kFastcgi && !is_told) {
    map.fault("fastcgi", "is for protocol: fastcgi; write that as well, or leave this out");
  }
  const int proxy = map.choice("proxy_protocol", {"off", "v1", "v2"});
  if (proxy >= 0) into.proxy_protocol = static_cast<ProxyVersion>(proxy);
  map.refuse("tls", "upstreams are called in plain text");
  read_endpoints(map, into.endpoints);
  read_balance(map, into);
  read_health(map, into.health);
  read_ejection(map, into.ejection);
  map.section("pool", [&into](MapReader& m) { read_pool(m, into.pool); });
  read_buffering(map, into.buffering);
  map.section("timeouts", [&into](MapReader& m) { read_timeouts(m, into.timeouts); });
  map.number("max_in_flight", into.max_in_flight, 1, 1'000'000, "off");
  map.section("hold", [&into](MapReader& m) { read_hold(m, into.hold); });
  map.section("retry", [&into](MapReader& m) { read_retry(m, into.retry); });
}

}  // namespace sluice::config
