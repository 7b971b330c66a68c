#include "proxy/config/load.h"

#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {

TEST_CASE("load: all faults at once, by line, and no configuration") {
  const auto loaded = load(
      "workers: many\n"
      "drain: { min: 5, max: 1m }\n"
      "listeners:\n"
      "  - adress: :8080\n"
      "routes:\n"
      "  - path: static\n"
      "    upstream: ap\n"
      "upstreams:\n"
      "  app:\n"
      "    endpoints: [ app:8000 ]\n"
      "    tiemouts: { connect: 5s }\n");
  CHECK_FALSE(loaded.config);
  const std::vector<std::string> wanted = {
      "t.yaml:1: workers: \"many\" is not a whole number from 1 to 1024, or auto",
      "t.yaml:2: drain.min: \"5\" lacks a unit; write 5s or 5ms (also m, h, d)",
      "t.yaml:2: drain.max: 1m is longer than drain.deadline (28s)",
      "t.yaml:4: listeners[0].address: is missing; write the address to listen on, as in "
      "0.0.0.0:8080",
      "t.yaml:4: listeners[0].adress: unknown key, did you mean \"address\"?",
      "t.yaml:6: routes[0].path: \"static\" does not begin with /",
      "t.yaml:7: routes[0].upstream: there is no upstream \"ap\", did you mean \"app\"?",
      "t.yaml:10: upstreams.app.endpoints[0]: \"app:8000\" is a name; write dns://app:8000 to "
      "have it looked up",
      "t.yaml:11: upstreams.app.tiemouts: unknown key, did you mean \"timeouts\"?"};
  CHECK(loaded.faults == wanted);
}

TEST_CASE("load: what is not a map, or nothing at all") {
  CHECK(fault("- a\n") == "t.yaml:1: a configuration is a map (listeners: …)");
  CHECK(fault("just text") == "t.yaml:1: a configuration is a map (listeners: …)");
  const auto nothing = load("");
  REQUIRE(nothing.faults.size() == 2);
  CHECK(nothing.faults[0] ==
        "t.yaml:1: listeners: there is none; write listeners: [ { address: 0.0.0.0:8080 } ]");
  CHECK(nothing.faults[1].find("t.yaml:1: routes: there is none") == 0);
}

TEST_CASE("load: later keys are refused, not ignored") {
  for (const std::string upstream :
       {"protocol: h2c", "protocol: h2", "balance: maglev", "balance: ip_hash", "tls: on"}) {
    CAPTURE(upstream);
    const auto text = with_upstream("endpoints: [\"127.0.0.1:1\"], " + upstream);
    CHECK(fault(text).find("not supported in this version") != std::string::npos);
  }
  CHECK(load(with_listener("{ address: \":1\", proxy_protocol: off }")).config);
}

TEST_CASE("listener: values reach the structure") {
  const auto loaded = load(with_listener(
      "{ address: \"unix:/run/x.sock\", trusted_proxies: [10.0.0.0/8, \"::1\"], backlog: 128,"
      " limits: { line: 8k, headers: 32KiB, header_count: 50, body: 10MB, connections: 7,"
      " requests: 100, streams: 7, body_rate: 1k, send_rate: 2k, client_connections: 9,"
      " connection_rate: 30/m, connection_burst: 5, request_rate: 100/s },"
      " timeouts: { first_byte: 1s, header: 2s, body: 3s, idle: 4s, send: 5s, ping: off } }"));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  const Listener& l = loaded.config->listeners[0];
  CHECK(l.address.is_unix);
  REQUIRE(l.trusted_proxies.size() == 2);
  CHECK(l.trusted_proxies[0].bits == 104);
  CHECK(l.backlog == 128);
  CHECK(l.limits.line == 8_KiB);
  CHECK(l.limits.headers == 32_KiB);
  CHECK(l.limits.header_count == 50);
  CHECK(l.limits.body == 10'000'000_B);
  CHECK(l.limits.connections == 7);
  CHECK(l.limits.requests == 100);
  CHECK(l.limits.streams == 7);
  CHECK(l.limits.body_rate == 1_KiB);
  CHECK(l.limits.send_rate == 2_KiB);
  CHECK(l.limits.client_connections == 9);
  CHECK(l.limits.connection_rate == Rate{30, 1min, 5});
  CHECK(l.limits.request_rate == Rate{100, 1s, 0});
  CHECK(l.timeouts.first_byte == 1s);
  CHECK(l.timeouts.ping == Duration{0});
  CHECK(l.timeouts.header == 2s);
  CHECK(l.timeouts.body == 3s);
  CHECK(l.timeouts.idle == 4s);
  CHECK(l.timeouts.send == 5s);
  CHECK(l.place.file == "t.yaml");
  CHECK(l.place.line == 2);
}

TEST_CASE("listener: a list of networks may be one value, or empty") {
  const auto both =
      load(with_listener("{ address: \":1\", trusted_proxies: \"10.0.0.0/8, ::1\" }"));
  REQUIRE(both.config);
  CHECK(both.config->listeners[0].trusted_proxies.size() == 2);
  const auto none = load(with_listener("{ address: \":1\", trusted_proxies: \"${T:-}\" }"));
  REQUIRE(none.config);
  CHECK(none.config->listeners[0].trusted_proxies.empty());
  CHECK(fault(with_listener("{ address: \":1\", trusted_proxies: [10.0.0.1/8] }"))
            .find("the network is 10.0.0.0/8") != std::string::npos);
}

TEST_CASE("listener: limits and timeouts that cannot work are refused") {
  for (const std::string wrong :
       {"limits: { line: 0 }", "limits: { headers: 10 }", "limits: { header_count: 0 }",
        "limits: { connections: 0 }", "timeouts: { idle: 0 }", "timeouts: { header: 1ms }",
        "limits: { body: -1 }", "limits: { body: lots }", "limits: [1]", "timeouts: 5s",
        "backlog: 0", "backlog: 100000"}) {
    CAPTURE(wrong);
    const auto text = with_listener("{ address: \":1\", " + wrong + " }");
    CHECK(fault(text).find("t.yaml:2: ") == 0);
  }
}

TEST_CASE("upstream: values reach the structure") {
  const auto loaded = load(with_upstream(
      "protocol: uwsgi, endpoints: [ \"unix:/run/app.sock\", \"[::1]:8000\" ],"
      " balance: least_request, pool: { idle: 3s, learn: off, unsafe_idle: 50ms, spare: 1,"
      " requests: 9 },"
      " buffering: { request: off, memory: 8k, disk: 0 },"
      " timeouts: { connect: 1s, send: 2s, first_byte: 3s, between_bytes: 4s }, max_in_flight: 8,"
      " hold: { timeout: 1s, requests: 2, bytes: 3k, unhealthy_after: 4s, ramp: 5 },"
      " retry: { attempts: 1, budget: 5%, backoff: 2ms, max_backoff: 3ms, per_try: 4s }"));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  const Upstream& u = loaded.config->upstreams[0];
  CHECK(u.name == "app");
  CHECK(u.protocol == Protocol::kUwsgi);
  CHECK(u.balance == Balance::kLeastRequest);
  REQUIRE(u.endpoints.size() == 2);
  CHECK(u.endpoints[0].address.host_or_path == "/run/app.sock");
  CHECK(u.endpoints[1].address.host_or_path == "::1");
  CHECK(u.pool == Pool{3s, false, 50ms, 1, 9});
  CHECK(u.buffering == Buffering{false, true, 8_KiB, 0_B});
  CHECK(u.timeouts == UpstreamTimeouts{1s, 2s, 3s, 4s});
  CHECK(u.max_in_flight == 8);
  CHECK(u.hold == Hold{1s, 2, 3_KiB, 4s, 5});
  CHECK(u.retry == Retry{1, 5, 2ms, 3ms, 4s});
}

TEST_CASE("upstream: wrong values are told with the right ones") {
  const std::string endpoint = "endpoints: [\"127.0.0.1:1\"], ";
  CHECK(fault(with_upstream(endpoint + "protocol: http")) ==
        "t.yaml:2: upstreams.app.protocol: \"http\" is not one of http1, uwsgi, fastcgi");
  CHECK(fault(with_upstream(endpoint + "retry: { budget: 20 }")) ==
        "t.yaml:2: upstreams.app.retry.budget: \"20\" is no share; write 0% to 100%, as in 20%");
  CHECK(fault(with_upstream(endpoint + "buffering: maybe")).find("neither on nor off") !=
        std::string::npos);
  const auto off = load(with_upstream(endpoint + "buffering: off"));
  REQUIRE(off.config);
  CHECK_FALSE(off.config->upstreams[0].buffering.request);
  CHECK_FALSE(off.config->upstreams[0].buffering.response);
}

TEST_CASE("process: values reach the structure") {
  const auto loaded = load(with_top(
      "workers: 3\nadmin: { socket: off }\nmetrics: { address: off, buckets: [0.5, 1] }\n"
      "drain: { min: 1s, quiet: 2s, max: 3s, deadline: 4s }\n"
      "access_log: { format: combined, path: /var/log/a, buffer: 64k }\n"
      "log: { level: warning, path: /var/log/e }\n"
      "limits: { connections: 5, spill: 1GiB, memory: 100MiB }\nspill: { folder: /spill }\n"));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  const Config& c = *loaded.config;
  CHECK(c.workers == 3);
  CHECK(c.admin.socket.empty());
  CHECK_FALSE(c.metrics.address);
  CHECK(c.metrics.buckets == std::vector<double>{0.5, 1});
  CHECK(c.drain == Drain{1s, 2s, 3s, 4s});
  CHECK(c.access_log == AccessLog{LogFormat::kCombined, "/var/log/a", 64_KiB});
  CHECK(c.log == Log{LogLevel::kWarning, "/var/log/e"});
  CHECK(c.limits == Limits{5, 1_GiB, 100_MiB});
  CHECK(c.spill_folder == "/spill");
}

TEST_CASE("process: wrong values are told with the right ones") {
  for (const std::string wrong :
       {"workers: 0.5", "workers: 5000", "admin: { socket: run/x }", "metrics: { buckets: [1, 1] }",
        "metrics: { buckets: [0] }", "metrics: { buckets: [nan] }", "metrics: { buckets: [1x] }",
        "metrics: { address: 9901 }", "access_log: { format: xml }", "access_log: { path: a.log }",
        "log: { level: loud }", "limits: { memory: 1 }", "spill: { folder: tmp }", "drain: 5s"}) {
    CAPTURE(wrong);
    CHECK(fault(with_top(wrong)).find("t.yaml:1: ") == 0);
  }
  CHECK(load(with_top("workers: auto\nlimits: { memory: auto, connections: auto }")).config);
}

TEST_CASE("load: an empty section is one without keys") {
  CHECK(load(with_top("drain:\nlimits:\nadmin: ~")).config);
  CHECK(fault(with_top("workers:")).find("t.yaml:1: workers: has no value") == 0);
}

TEST_CASE("load: ten thousand routes are no matter") {
  std::string text = "listeners: [ { address: \":0\" } ]\nroutes:\n";
  for (int i = 0; i < 10'000; ++i) {
    text += "  - { path: /r" + std::to_string(i) + ", respond: { body: x } }\n";
  }
  const auto loaded = load(text);
  REQUIRE(loaded.config);
  CHECK(loaded.config->routes.size() == 10'000);
}

}  // namespace sluice::config
