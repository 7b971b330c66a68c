#include "proxy/observe/metrics.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "proxy/observe/worker_observer.h"
#include "tests/unit/observe/scratch.h"

namespace sluice::observe {
namespace {

using namespace std::chrono_literals;

MetricsOptions options() {
  return {{0.001, 0.01, 0.1, 1}, "1.2.3"};
}

Record answered(int status, Duration total) {
  Record record;
  record.status = status;
  record.total = total;
  return record;
}

bool has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

// The value of a sample; -1: not there.
double value_of(const std::string& text, const std::string& sample) {
  const auto at = ("\n" + text).find("\n" + sample + " ");
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + sample.size(), nullptr);
}

TEST_CASE("metrics: requests and durations are summed over the workers") {
  Metrics metrics(options());
  WorkerMetrics& one = metrics.add_worker();
  WorkerMetrics& two = metrics.add_worker();
  const RouteId route = metrics.route("shop");
  for (WorkerMetrics* worker : {&one, &two}) {
    worker->on_request_begun();
    worker->on_request_begun();
    worker->on_request_done(route, answered(200, 500us));
  }
  two.on_request_begun();
  two.on_request_done(route, answered(503, 2s));
  const std::string text = metrics.render();
  CHECK(has(text, R"(sluice_http_requests_total{route="shop",code="200"} 2)"));
  CHECK(has(text, R"(sluice_http_requests_total{route="shop",code="503"} 1)"));
  CHECK(has(text, "sluice_http_requests_in_flight 2"));
  const std::string name = "sluice_http_request_duration_seconds";
  CHECK(has(text, name + R"(_bucket{route="shop",le="0.001"} 2)"));
  CHECK(has(text, name + R"(_bucket{route="shop",le="1"} 2)"));
  CHECK(has(text, name + R"(_bucket{route="shop",le="+Inf"} 3)"));
  CHECK(has(text, name + R"(_count{route="shop"} 3)"));
  CHECK(value_of(text, name + R"(_sum{route="shop"})") == doctest::Approx(2.001));
  CHECK(metrics.totals().requests == 3);
  CHECK(metrics.totals().in_flight == 2);
}

TEST_CASE("metrics: a duration on a bound belongs to its bucket") {
  const Buckets buckets{1ms, 10ms};
  HistogramCell cell;
  for (const Duration d : {Duration{-5}, Duration{0}, Duration(1ms), Duration(1ms) + 1ns,
                           Duration(10ms), Duration(11ms)}) {
    cell.observe(buckets, d);
  }
  CHECK(cell.count(0) == 3);
  CHECK(cell.count(1) == 2);
  CHECK(cell.count(2) == 1);
  CHECK(cell.nanoseconds() == 23'000'001);
}

TEST_CASE("metrics: what was never counted is not shown, what has a state is") {
  Metrics metrics(options());
  WorkerMetrics& worker = metrics.add_worker();
  for (int i = 0; i < 10; ++i) metrics.route("r" + std::to_string(i));
  metrics.upstream("django");
  metrics.listener(":8080");
  worker.on_request_begun();
  worker.on_request_done(metrics.route("r3"), answered(200, 1ms));
  const std::string text = metrics.render();
  CHECK(count(text, "sluice_http_requests_total{") == 1);
  CHECK(has(text, R"(sluice_upstream_held_requests{upstream="django"} 0)"));
  CHECK(has(text, R"(sluice_connections{listener=":8080",state="idle"} 0)"));
}

TEST_CASE("metrics: upstreams, endpoints, listeners, reasons and limits have their series") {
  Metrics metrics(options());
  WorkerMetrics& worker = metrics.add_worker();
  const EndpointId endpoint = metrics.endpoint("django", "127.0.0.1:8000");
  const ListenerId listener = metrics.listener(":8080");
  worker.on_upstream_done(endpoint, 200, 5ms);
  worker.on_upstream_done(endpoint, 0, 5ms);
  worker.connected(endpoint, true);
  worker.connected(endpoint, false);
  worker.connections(endpoint, UpstreamConnectionState::kIdle, 1);
  worker.retried(endpoint.upstream, RetryProof::kNotReceived);
  worker.held(endpoint.upstream, 3);
  worker.held(endpoint.upstream, -1);
  worker.on_hold_over(endpoint.upstream, 50ms);
  worker.accepted(listener);
  worker.accept_paused(listener);
  worker.connections(listener, ConnectionState::kNew, 1);
  worker.connections(listener, ConnectionState::kNew, -1);
  worker.connections(listener, ConnectionState::kActive, 1);
  worker.dropped("header_timeout");
  worker.limit_hit("headers");
  worker.buffered(4096);
  metrics.set_endpoint_state(endpoint, EndpointState::kReady);
  const std::string text = metrics.render();
  const std::string at = R"({upstream="django",endpoint="127.0.0.1:8000",)";
  CHECK(has(text, "sluice_upstream_requests_total" + at + R"(code="200"} 1)"));
  CHECK(has(text, "sluice_upstream_requests_total" + at + R"(code="other"} 1)"));
  CHECK(has(text, "sluice_upstream_connections" + at + R"(state="idle"} 1)"));
  CHECK(has(text, "sluice_upstream_connects_total" + at + R"(result="failure"} 1)"));
  CHECK(has(text, "sluice_upstream_endpoint_state" + at + R"(state="ready"} 1)"));
  CHECK(has(text, "sluice_upstream_endpoint_state" + at + R"(state="holding"} 0)"));
  CHECK(has(text, R"(sluice_upstream_retries_total{upstream="django",proof="not_received"} 1)"));
  CHECK(has(text, R"(sluice_upstream_held_requests{upstream="django"} 2)"));
  CHECK(has(text, R"(sluice_upstream_hold_seconds_count{upstream="django"} 1)"));
  CHECK(has(text, R"(sluice_upstream_request_duration_seconds_count{upstream="django"} 2)"));
  CHECK(has(text, R"(sluice_connections{listener=":8080",state="active"} 1)"));
  CHECK(has(text, R"(sluice_connections{listener=":8080",state="new"} 0)"));
  CHECK(has(text, R"(sluice_accepts_total{listener=":8080"} 1)"));
  CHECK(has(text, R"(sluice_accept_paused_total{listener=":8080"} 1)"));
  CHECK(has(text, R"(sluice_dropped_total{reason="header_timeout"} 1)"));
  CHECK(has(text, R"(sluice_limit_hits_total{limit="headers"} 1)"));
  CHECK(has(text, "sluice_buffered_bytes 4096"));
  CHECK(metrics.totals().connections == 1);
  CHECK(metrics.totals().held == 2);

  metrics.set_endpoint_state(endpoint, EndpointState::kGone);
  CHECK(count(metrics.render(), "sluice_upstream_endpoint_state") == 0);
}

TEST_CASE("metrics: handshakes by how they went, and gauges that are replaced as a whole") {
  Metrics metrics(options());
  WorkerMetrics& one = metrics.add_worker();
  WorkerMetrics& two = metrics.add_worker();
  const ListenerId listener = metrics.listener(":443");
  one.shaken(listener, Handshake::k13);
  two.shaken(listener, Handshake::k13);
  two.shaken(listener, Handshake::k12Resumed);
  two.shaken(listener, Handshake::kCeiling);
  metrics.set_values("sluice_ends", "When.", "name", {{"a", 1}, {"b", 2}});
  const std::string before = metrics.render();
  const auto shaken = [&before](const std::string& how) {
    return value_of(before, "sluice_tls_handshakes_total{listener=\":443\"," + how + "}");
  };
  CHECK(shaken("result=\"success\",version=\"1.3\",resumed=\"no\"") == 2);
  CHECK(shaken("result=\"success\",version=\"1.2\",resumed=\"yes\"") == 1);
  CHECK(shaken("result=\"ceiling\",version=\"none\",resumed=\"no\"") == 1);
  CHECK(shaken("result=\"failure\",version=\"none\",resumed=\"no\"") == -1);
  CHECK(value_of(before, "sluice_ends{name=\"b\"}") == 2);
  metrics.set_values("sluice_ends", "When.", "name", {{"a", 3}});
  const std::string after = metrics.render();
  CHECK(value_of(after, "sluice_ends{name=\"a\"}") == 3);
  CHECK(value_of(after, "sluice_ends{name=\"b\"}") == -1);
}

TEST_CASE("metrics: the control thread's facts and borrowed counters are shown") {
  Metrics metrics(options());
  uint64_t lost = 7;
  metrics.read_counter("access_log_lost_total", "Lines of the access log that were lost.",
                       [&] { return static_cast<double>(lost); });
  metrics.read_gauge("spill_free_bytes", "Free.", [] { return 1.0; });
  metrics.set_config("abc", 3);
  metrics.set_drain_state(DrainState::kAnnouncing);
  metrics.reloaded(true);
  metrics.reloaded(false);
  metrics.reloaded(false);
  const std::string text = metrics.render();
  CHECK(has(text, "# TYPE sluice_access_log_lost_total counter"));
  CHECK(has(text, "sluice_access_log_lost_total 7"));
  CHECK(has(text, "sluice_spill_free_bytes 1"));
  CHECK(has(text, R"(sluice_config_info{hash="abc",generation="3"} 1)"));
  CHECK(has(text, R"(sluice_build_info{version="1.2.3"} 1)"));
  CHECK(has(text, "sluice_drain_state 1"));
  CHECK(has(text, R"(sluice_reloads_total{result="success"} 1)"));
  CHECK(has(text, R"(sluice_reloads_total{result="failure"} 2)"));
  CHECK(value_of(text, "process_resident_memory_bytes") > 1e6);
  CHECK(value_of(text, "process_open_fds") >= 3);
  CHECK(value_of(text, "process_max_fds") >= value_of(text, "process_open_fds"));
  CHECK(value_of(text, "process_threads") >= 1);
  const double now = std::chrono::duration<double>(wall_now().time_since_epoch()).count();
  CHECK(value_of(text, "process_start_time_seconds") == doctest::Approx(now).epsilon(1e-5));
}

TEST_CASE("metrics: the same name is the same series after a reload") {
  Metrics metrics(options());
  const RouteId before = metrics.route("shop");
  metrics.route("other one");
  CHECK(metrics.route("shop").index == before.index);
  CHECK(metrics.endpoint("a", "b").index == metrics.endpoint("a", "b").index);
  CHECK(metrics.endpoint("a", "b").index != metrics.endpoint("ab", "").index);
  CHECK(metrics.endpoint("a", "b").upstream.index == metrics.upstream("a").index);
}

TEST_CASE("metrics: names beyond the ceiling are counted as other") {
  Metrics metrics(options());
  WorkerMetrics& worker = metrics.add_worker();
  for (int i = 0; i < 12000; ++i) metrics.route("r" + std::to_string(i));
  const RouteId late = metrics.route("late");
  CHECK(late.index == kOtherName);
  worker.on_request_begun();
  worker.on_request_done(late, answered(200, 1ms));
  worker.on_request_begun();
  worker.on_request_done(RouteId{}, answered(404, 1ms));
  const std::string text = metrics.render();
  CHECK(has(text, R"(sluice_http_requests_total{route="other",code="200"} 1)"));
  CHECK(has(text, R"(sluice_http_requests_total{route="none",code="404"} 1)"));
}

TEST_CASE("metrics: codes and reasons have a ceiling and lose no count") {
  CodeCounts codes;
  for (int code = -1; code < 1100; ++code) codes.add(code);
  codes.add(100);
  uint64_t all = 0;
  uint64_t other = 0;
  size_t kinds = 0;
  codes.each([&](int code, uint64_t n) {
    all += n;
    other += code == 0 ? n : 0;
    kinds += code == 0 ? 0 : 1;
    if (code == 100) CHECK(n == 2);
  });
  CHECK(all == 1102);
  CHECK(kinds == 34);
  CHECK(other == 1102 - 35);

  ReasonCounts reasons;
  for (int i = 0; i < 100; ++i) reasons.add("reason" + std::to_string(i));
  reasons.add("reason5");
  uint64_t sum = 0;
  uint64_t rest = 0;
  reasons.each([&](std::string_view reason, uint64_t n) {
    sum += n;
    if (reason == "other") rest = n;
    if (reason == "reason5") CHECK(n == 2);
  });
  CHECK(sum == 101);
  CHECK(rest == 36);
}

TEST_CASE("metrics: the reason of a record is counted once, by the observer") {
  Metrics metrics(options());
  WorkerMetrics& worker = metrics.add_worker();
  WorkerObserver observer(worker, nullptr);
  Record record = answered(502, 1ms);
  record.reason = "connect_refused";
  observer.begun();
  observer.finished(record, metrics.route("shop"));
  CHECK(has(metrics.render(), R"(sluice_dropped_total{reason="connect_refused"} 1)"));
  CHECK(metrics.totals().in_flight == 0);
}

TEST_CASE("metrics: odd bucket bounds are put in order") {
  Metrics metrics({{5, -1, 0.5, 0.5, std::nan(""), 1e300, 0}, "v"});
  WorkerMetrics& worker = metrics.add_worker();
  worker.on_request_begun();
  worker.on_request_done(metrics.route("r"), answered(200, 1s));
  const std::string text = metrics.render();
  CHECK(count(text, "sluice_http_request_duration_seconds_bucket") == 3);
  CHECK(has(text, R"(sluice_http_request_duration_seconds_bucket{route="r",le="5"} 1)"));
}

TEST_CASE("metrics: workers count while another thread reads") {
  Metrics metrics(options());
  constexpr int kRequests = 20000;
  constexpr int kRoutes = 200;
  std::vector<RouteId> routes;
  for (int i = 0; i < kRoutes; ++i) routes.push_back(metrics.route("r" + std::to_string(i)));
  const EndpointId endpoint = metrics.endpoint("u", "e");
  const auto work = [&](WorkerMetrics& worker) {
    for (int i = 0; i < kRequests; ++i) {
      worker.on_request_begun();
      Record record = answered(100 + i % 50, 1ms);
      if (i % 7 == 0) record.reason = "client_gone";
      worker.on_request_done(routes[static_cast<size_t>(i % kRoutes)], record);
      worker.on_upstream_done(endpoint, 200, 1ms);
    }
  };
  std::atomic<bool> is_over{false};
  {
    std::jthread scraper([&] {
      while (!is_over.load()) {
        CHECK(metrics.render().size() > 100);
        CHECK(metrics.totals().in_flight >= 0);
      }
    });
    {
      std::jthread one([&, &worker = metrics.add_worker()] { work(worker); });
      std::jthread two([&, &worker = metrics.add_worker()] { work(worker); });
    }
    is_over.store(true);
  }
  CHECK(metrics.totals().requests == 2 * kRequests);
  CHECK(metrics.totals().in_flight == 0);
  CHECK(value_of(metrics.render(),
                 R"(sluice_upstream_requests_total{upstream="u",endpoint="e",code="200"})") ==
        2 * kRequests);
}

TEST_CASE("metrics: Prometheus' own linter finds nothing to say") {
  Metrics metrics(options());
  WorkerMetrics& worker = metrics.add_worker();
  const EndpointId endpoint = metrics.endpoint("dja\"ngo\\\n\xff", "unix:/run/app.sock");
  worker.on_request_begun();
  Record record = answered(502, 3ms);
  record.reason = "connect_refused";
  worker.on_request_done(metrics.route("/caf\xc3\xa9"), record);
  worker.on_upstream_done(endpoint, 200, 5ms);
  worker.on_hold_over(endpoint.upstream, 5ms);
  worker.connected(endpoint, true);
  worker.accepted(metrics.listener(":8080"));
  worker.limit_hit("headers");
  metrics.set_endpoint_state(endpoint, EndpointState::kReady);
  metrics.read_counter("access_log_lost_total", "Lines of the access log that were lost.",
                       [] { return 0.0; });

  Scratch scratch;
  std::ofstream(scratch / "metrics", std::ios::binary) << metrics.render();
  REQUIRE_MESSAGE(std::system("promtool --version >/dev/null 2>&1") == 0,
                  "promtool is missing: install Debian's package prometheus");
  const std::string command =
      "promtool check metrics < " + (scratch / "metrics") + " > " + (scratch / "verdict") + " 2>&1";
  const int code = std::system(command.c_str());
  const std::string verdict = contents(scratch / "verdict");
  CHECK_MESSAGE(code == 0, verdict);
  CHECK(verdict.empty());
}

}  // namespace
}  // namespace sluice::observe
