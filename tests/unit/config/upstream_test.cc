// What is balanced, checked, ejected and repeated: values reach the structure, wrong ones are told
// with what would be right.
#include "proxy/config/upstream.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

const std::string kEndpoint = "endpoints: [\"127.0.0.1:1\"], ";

Upstream upstream(const std::string& settings) {
  const auto loaded = load(with_upstream(kEndpoint + settings));
  CAPTURE(settings);
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  return loaded.config->upstreams[0];
}

// Below "t.yaml:2: upstreams.app.", which is checked.
std::string told(const std::string& settings) {
  const std::string at = "t.yaml:2: upstreams.app.";
  const auto found = fault(with_upstream(kEndpoint + settings));
  if (found.compare(0, at.size(), at) != 0) return "elsewhere: " + found;
  return found.substr(at.size());
}

using Kind = HealthCheck::Kind;

}  // namespace

TEST_CASE("fastcgi: values reach the structure") {
  const auto made = upstream(
      "protocol: fastcgi, fastcgi: { root: /app/public/, index: front.php, split: .php5, keep: on,"
      " stderr: off, params: { APP_ENV: prod, HTTPS: \"on\" } }");
  CHECK(made.protocol == Protocol::kFastcgi);
  Fastcgi wanted;
  wanted.root = "/app/public";
  wanted.index = "front.php";
  wanted.split = ".php5";
  wanted.keep = true;
  wanted.remarks = 0_B;
  wanted.params = {{"APP_ENV", "prod"}, {"HTTPS", "on"}};
  CHECK(made.fastcgi == wanted);
  CHECK(upstream("protocol: fastcgi").fastcgi == Fastcgi{});
  CHECK(upstream("protocol: fastcgi, fastcgi: { index: \"\" }").fastcgi.index.empty());
}

TEST_CASE("fastcgi: what is wrong is told") {
  CHECK(told("fastcgi: { keep: on }") ==
        "fastcgi: is for protocol: fastcgi; write that as well, or leave this out");
  const std::string in = "protocol: fastcgi, fastcgi: ";
  CHECK(told(in + "{ root: public }").find("fastcgi.root") == 0);
  CHECK(told(in + "{ index: /index.php }").find("fastcgi.index: ") == 0);
  CHECK(told(in + "{ index: ../index.php }").find("fastcgi.index: ") == 0);
  CHECK(told(in + "{ split: a/b }").find("fastcgi.split: ") == 0);
  CHECK(told(in + "{ keep: maybe }").find("fastcgi.keep: ") == 0);
  for (const std::string name : {"HTTP_X", "CONTENT_LENGTH", "1A", "A-B", "\"A B\""}) {
    CAPTURE(name);
    CHECK(told(in + "{ params: { " + name + ": x } }").find("fastcgi.params: ") == 0);
  }
  const std::string long_value(8193, 'x');
  CHECK(told(in + "{ params: { A: " + long_value + " } }").find("fastcgi.params: ") == 0);
}

TEST_CASE("balance: every word, and what ring_hash keeps together") {
  CHECK(upstream("balance: random").balance == Balance::kRandom);
  CHECK(upstream("balance: peak_ewma").balance == Balance::kPeakEwma);
  const auto ring = upstream("balance: ring_hash");
  CHECK(ring.balance == Balance::kRingHash);
  CHECK(ring.hash == HashKey{});
  CHECK(upstream("balance: ring_hash, hash: { header: X-User }").hash ==
        HashKey{HashKey::Kind::kHeader, "X-User"});
  CHECK(upstream("balance: ring_hash, hash: { cookie: sid, address: off }").hash ==
        HashKey{HashKey::Kind::kCookie, "sid"});
  CHECK(upstream("balance: ring_hash, hash: { address: on }").hash == HashKey{});
}

TEST_CASE("balance: a hash is one thing, and of ring_hash") {
  CHECK(told("hash: { address: on }") ==
        "hash: is for balance: ring_hash; write that as well, or leave this out");
  for (const std::string wrong :
       {"{}", "{ address: off }", "{ header: A, cookie: b }", "{ cookie: b, address: on }"}) {
    CAPTURE(wrong);
    CHECK(told("balance: ring_hash, hash: " + wrong) ==
          "hash: is not one thing; write { header: X-User }, { cookie: sid } or { address: on }");
  }
  CHECK(told("balance: ring_hash, hash: { header: \"X User\" }") ==
        "hash.header: \"X User\" is no name");
  CHECK(told("balance: ring_hash, hash: { cookie: \"a=b\" }") ==
        "hash.cookie: \"a=b\" is no name");
  CHECK(told("balance: ring_hash, hash: { heder: A }").find("(2 faults)") != std::string::npos);
  // One slip, one fault.
  CHECK(told("balance: ring_hsh, hash: { address: on }") ==
        "balance: \"ring_hsh\" is not one of round_robin, least_request, random, peak_ewma, "
        "ring_hash");
}

TEST_CASE("sticky: a cookie's name and age") {
  CHECK(upstream("").sticky.cookie.empty());
  CHECK(upstream("sticky: { cookie: s, age: 1h }").sticky == Sticky{"s", 1h});
  CHECK(upstream("sticky: { cookie: s, age: session }").sticky == Sticky{"s", 0s});
  CHECK(upstream("sticky: { cookie: s, age: 0 }").sticky == Sticky{"s", 0s});
  CHECK(told("sticky: { age: 1h }") ==
        "sticky.cookie: is missing; write the name of the cookie, as in { cookie: sluice }");
  CHECK(told("sticky: { cookie: \"a b\" }") == "sticky.cookie: \"a b\" is no name of a cookie");
  CHECK(told("sticky: { cookie: \"\" }") == "sticky.cookie: \"\" is no name of a cookie");
  CHECK(told("sticky: { cookie: a, age: 10ms }") ==
        "sticky.age: 10ms is too short; 1s is the least");
}

TEST_CASE("panic and slow start may be off") {
  CHECK(upstream("").panic == 50);
  CHECK(upstream("panic: 20%").panic == 20);
  CHECK(upstream("panic: off").panic == 0);
  CHECK(told("panic: 20") == "panic: \"20\" is no share; write 0% to 100%, as in 20%, or off");
  CHECK(upstream("slow_start: 30s").slow_start == 30s);
  CHECK(upstream("slow_start: off").slow_start == 0s);
}

TEST_CASE("health: a path alone is a request") {
  HealthCheck wanted;
  wanted.kind = Kind::kRequest;
  wanted.path = "/health?deep=1";
  CHECK(upstream("health: { path: \"/health?deep=1\" }").health == wanted);
  CHECK(upstream("health: { type: request, path: \"/health?deep=1\" }").health == wanted);
  CHECK(upstream("health: off").health == HealthCheck{});
  CHECK(upstream("health: ~").health == HealthCheck{});
}

TEST_CASE("health: values reach the structure") {
  const auto health = upstream(
      "health: { path: /h, method: HEAD, host: a.example, status: [200-204, 404, \"301 - 302\"],"
      " interval: 7s, fast_interval: 1s, timeout: 9s, rise: 2, fall: 4, jitter: 5%,"
      " initial: down }").health;
  const HealthCheck wanted{Kind::kRequest, "/h", "HEAD", "a.example",
                           {{200, 204}, {404, 404}, {301, 302}}, "", 7s, 1s, 9s, 2, 4, 5, false};
  CHECK(health == wanted);
  CHECK(upstream("health: { path: /h, body: all is well }").health.body == "all is well");
  const std::vector<std::pair<int, int>> two = {{200, 200}, {204, 299}};
  CHECK(upstream("health: { path: /h, status: \"200, 204-299\" }").health.status == two);
  CHECK(upstream("health: { type: tcp, interval: 1s, initial: up }").health.kind == Kind::kTcp);
}

TEST_CASE("health: a short interval is the fast one as well") {
  const auto health = upstream("health: { type: tcp, interval: 100ms }").health;
  CHECK(health.fast_interval == 100ms);
  CHECK(told("health: { type: tcp, interval: 1s, fast_interval: 2s }") ==
        "health.fast_interval: 2s is longer than interval (1s)");
}

TEST_CASE("health: what is not said, or said twice") {
  const std::string nothing =
      "health: does not say what to check; write { path: /health } or { type: tcp }";
  CHECK(told("health: {}") == nothing);
  CHECK(told("health: { interval: 1s }") == nothing);
  CHECK(told("health: { type: request }") == nothing);
  CHECK(told("health: { type: tcp, path: /h }") ==
        "health.path: is asked by type: request only; keep one of them");
  CHECK(told("health: { type: tcp, status: [200] }").find("health.status: is asked by") == 0);
  CHECK(told("health: on") == "health: \"on\" is neither off nor a map { path: /health }");
  CHECK(told("health: { type: http, path: /h }") ==
        "health.type: \"http\" is not one of request, tcp");
  CHECK(told("health: { pth: /h, type: tcp }") ==
        "health.pth: unknown key, did you mean \"path\"?");
  CHECK(told("health: { path: /h, method: HEAD, body: x }") ==
        "health.body: never comes in answer to HEAD; write method: GET");
  CHECK(told("health: { path: /h, status: [99] }") ==
        "health.status[0]: \"99\" is no status; write 200 to 599, or a range of them as in "
        "200-399");
}

TEST_CASE("health: values that cannot work are refused") {
  for (const std::string wrong :
       {"path: h", "path: \"\"", "path: /a b", "path: /ä", "path: \"/a#b\"", "path: \"/a\\n\"",
        "method: get", "method: \"G T\"", "method: CONNECT", "host: \"\"", "host: \"a b\"",
        "host: \"a\\r\\nb\"", "status: []", "status: [600]", "status: [300-200]", "status: [ok]",
        "status: [200-]", "status: [-300]", "status: [200-300-400]", "interval: 0",
        "fast_interval: 1ms", "timeout: 0", "rise: 0", "fall: 0", "fall: 1001", "jitter: 101%",
        "jitter: 20", "initial: maybe"}) {
    CAPTURE(wrong);
    const bool has_path = wrong.compare(0, 5, "path:") == 0;
    const auto all = told("health: { " + std::string{has_path ? "" : "path: /h, "} + wrong + " }");
    CHECK(all.find("health.") == 0);
  }
  CHECK(told("health: { path: /" + std::string(2048, 'a') + " }").find("health.path: ") == 0);
  CHECK(told("health: { path: /h, body: " + std::string(4097, 'a') + " }")
            .find("health.body: has 4097 bytes; 4096 is the most") == 0);
  std::string many;
  for (int i = 0; i < 33; ++i) many += std::to_string(200 + i) + ", ";
  CHECK(told("health: { path: /h, status: [" + many + "] }")
            .find("health.status: are 33; 1 to 32 are wanted") == 0);
}

TEST_CASE("ejection: values, and off") {
  CHECK(upstream("").ejection == Ejection{});
  CHECK(upstream("ejection: { errors: 7, rate: 50%, latency: 2s, requests: 9, interval: 1s,"
                 " time: 2s, max_time: 3s, most: 10% }").ejection ==
        Ejection{7, 50, 2s, 9, 1s, 2s, 3s, 10});
  const auto off = upstream("ejection: off").ejection;
  CHECK(off.errors == 0);
  CHECK(off.rate == 0);
  CHECK(off.latency == 0s);
  CHECK(upstream("ejection: { errors: off, rate: off, latency: off }").ejection == off);
  CHECK(told("ejection: on") == "ejection: \"on\" is neither off nor a map { errors: 5 }");
  CHECK(told("ejection: { time: 10m }") == "ejection.time: 10m is longer than max_time (5m)");
  CHECK(told("ejection: { max_time: 1s }") == "ejection.max_time: 1s is shorter than time (10s)");
  CHECK(told("ejection: { erors: 1 }") ==
        "ejection.erors: unknown key, did you mean \"errors\"?");
  for (const std::string wrong :
       {"errors: -1", "rate: 50", "rate: 101%", "latency: 2", "latency: 1us", "requests: 0",
        "interval: 0", "time: 0", "most: off"}) {
    CAPTURE(wrong);
    CHECK(told("ejection: { " + wrong + " }").find("ejection.") == 0);
  }
}

TEST_CASE("pool, hold and retry: bounds, off, and what belongs elsewhere") {
  CHECK(upstream("hold: { unhealthy_after: off, ramp: off }").hold.unhealthy_after == 0s);
  CHECK(upstream("hold: { unhealthy_after: off, ramp: off }").hold.ramp == 0);
  CHECK(upstream("retry: { per_try: off }").retry == Retry{});
  CHECK(upstream("pool: { unsafe_idle: 0 }").pool.unsafe_idle == 0s);
  CHECK(told("retry: { backoff: 2s }") == "retry.backoff: 2s is longer than max_backoff (1s)");
  CHECK(told("retry: { max_backoff: 1ms }") ==
        "retry.max_backoff: 1ms is shorter than backoff (25ms)");
  CHECK(told("retry: { backoff: 3s, max_backoff: 2s }") ==
        "retry.backoff: 3s is longer than max_backoff (2s)");
  for (const std::string misplaced : {"methods: [POST]", "idempotency_key: on"}) {
    CAPTURE(misplaced);
    CHECK(told("retry: { " + misplaced + " }")
              .find("does not stand here; write it with the route: routes: [ {") !=
          std::string::npos);
  }
  CHECK(told("hold: { unhealthy: 5s }").find("hold.unhealthy: unknown key") == 0);
  for (const std::string wrong : {"hold: { unhealthy_after: 1ms }", "hold: { ramp: -1 }",
                                  "pool: { learn: perhaps }", "pool: { unsafe_idle: soon }",
                                  "retry: { per_try: 1ms }", "slow_start: 1ms"}) {
    CAPTURE(wrong);
    CHECK(told(wrong).find("elsewhere") == std::string::npos);
  }
}

}  // namespace sluice::config
