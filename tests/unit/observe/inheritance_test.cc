#include "proxy/observe/inheritance.h"

#include <chrono>
#include <cstdlib>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "proxy/observe/metrics.h"

namespace sluice::observe {
namespace {

using namespace std::chrono_literals;

Record answered(int status, Duration total) {
  Record record;
  record.status = status;
  record.total = total;
  return record;
}

// One process's counting.
struct Counting {
  explicit Counting(std::vector<double> buckets = {0.01, 1}) : metrics({std::move(buckets), "1"}) {}
  void answer(const char* route, int status, Duration total = 1ms) {
    worker.on_request_begun();
    worker.on_request_done(metrics.route(route), answered(status, total));
  }
  Metrics metrics;
  WorkerMetrics& worker = metrics.add_worker();
};

double value_of(const std::string& text, const std::string& sample) {
  const auto at = ("\n" + text).find("\n" + sample + " ");
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + sample.size(), nullptr);
}

const std::string kShop = R"(sluice_http_requests_total{route="shop",code="200"})";
const std::string kSeconds = "sluice_http_request_duration_seconds";

}  // namespace

TEST_CASE("inheritance: a successor shows the sum, and never less than was shown before") {
  Counting old;
  Counting next;
  old.answer("shop", 200);
  old.answer("shop", 200, 2s);
  old.answer("a\tb\\c", 404);
  REQUIRE(next.metrics.inherit(old.metrics.take_increment()));
  next.answer("shop", 200);
  const std::string text = next.metrics.render();
  CHECK(value_of(text, kShop) == 3);
  CHECK(value_of(text, "sluice_http_requests_total{route=\"a\tb\\\\c\",code=\"404\"}") == 1);
  CHECK(value_of(text, kSeconds + R"(_bucket{route="shop",le="0.01"})") == 2);
  CHECK(value_of(text, kSeconds + R"(_bucket{route="shop",le="1"})") == 2);
  CHECK(value_of(text, kSeconds + R"(_bucket{route="shop",le="+Inf"})") == 3);
  CHECK(value_of(text, kSeconds + R"(_count{route="shop"})") == 3);
  CHECK(value_of(text, kSeconds + R"(_sum{route="shop"})") == doctest::Approx(2.002));
}

TEST_CASE("inheritance: what was said once is not said again") {
  Counting old;
  Counting next;
  old.answer("shop", 200);
  next.metrics.inherit(old.metrics.take_increment());
  next.metrics.inherit(old.metrics.take_increment());
  CHECK(value_of(next.metrics.render(), kShop) == 1);
  old.answer("shop", 200);
  next.metrics.inherit(old.metrics.take_increment());
  CHECK(value_of(next.metrics.render(), kShop) == 2);
}

TEST_CASE("inheritance: it is passed on over several processes") {
  Counting first;
  Counting second;
  Counting third;
  first.answer("shop", 200);
  second.metrics.inherit(first.metrics.take_increment());
  second.answer("shop", 200);
  third.metrics.inherit(second.metrics.take_increment());
  first.answer("shop", 200);  // a long request that ended there
  third.metrics.inherit(first.metrics.take_increment());
  third.answer("shop", 200);
  CHECK(value_of(third.metrics.render(), kShop) == 4);
}

TEST_CASE("inheritance: gauges are nobody's heritage") {
  Counting old;
  Counting next;
  old.worker.on_request_begun();
  next.metrics.inherit(old.metrics.take_increment());
  CHECK(value_of(next.metrics.render(), "sluice_http_requests_in_flight") == 0);
}

TEST_CASE("inheritance: other buckets take what was counted in the next wider one") {
  Counting old({0.005, 0.5});
  Counting next({0.01, 1});
  old.answer("shop", 200, 1ms);
  old.answer("shop", 200, 400ms);
  old.answer("shop", 200, 9s);
  next.metrics.inherit(old.metrics.take_increment());
  next.answer("shop", 200, 1ms);
  const std::string text = next.metrics.render();
  CHECK(value_of(text, kSeconds + R"(_bucket{route="shop",le="0.01"})") == 2);
  CHECK(value_of(text, kSeconds + R"(_bucket{route="shop",le="1"})") == 3);
  CHECK(value_of(text, kSeconds + R"(_bucket{route="shop",le="+Inf"})") == 4);
}

TEST_CASE("inheritance: a process that retires shows what it said first, and counts on") {
  Counting old;
  Counting next;
  old.answer("shop", 200);
  next.metrics.inherit(old.metrics.retire());
  old.answer("shop", 200);
  CHECK(value_of(old.metrics.render(), kShop) == 1);
  next.metrics.inherit(old.metrics.take_increment());
  CHECK(value_of(next.metrics.render(), kShop) == 2);
}

TEST_CASE("inheritance: what it was told replaces, joins its family, and is not passed on") {
  Counting old;
  Counting next;
  old.worker.dropped("malformed");
  old.metrics.tell("sluice_dropped_total", "help", "reason", "crash", 2);
  old.metrics.tell("sluice_dropped_total", "help", "reason", "crash", 3);
  old.metrics.tell("sluice_restarts_total", "help", "reason", "SIGSEGV", 1);
  const std::string text = old.metrics.render();
  CHECK(value_of(text, R"(sluice_dropped_total{reason="crash"})") == 3);
  CHECK(value_of(text, R"(sluice_dropped_total{reason="malformed"})") == 1);
  CHECK(value_of(text, R"(sluice_restarts_total{reason="SIGSEGV"})") == 1);
  CHECK(text.find("# TYPE sluice_dropped_total") == text.rfind("# TYPE sluice_dropped_total"));
  next.metrics.inherit(old.metrics.take_increment());
  CHECK(value_of(next.metrics.render(), R"(sluice_dropped_total{reason="malformed"})") == 1);
  CHECK(value_of(next.metrics.render(), R"(sluice_dropped_total{reason="crash"})") == -1);
}

TEST_CASE("inheritance: what is not understood changes nothing") {
  Counting next;
  for (const char* text :
       {"s\t1\t0\n", "f\tc\tname\n", "f\tc\tname\thelp\ns\tx\t0\n", "f\tc\tname\thelp\ns\t1\t9\n",
        "f\tc\tname\thelp\ns\t1\t0\tlabel\n", "f\th\tname\thelp\ns\t1\t1\tx\t1\n", "nonsense"}) {
    CHECK_FALSE(next.metrics.inherit(text));
  }
  CHECK(next.metrics.inherit(""));
  CHECK(value_of(next.metrics.render(), "name") == -1);
}

TEST_CASE("flight_ledger: another process reads what was in hand") {
  Counting dying;
  WorkerMetrics& other = dying.metrics.add_worker();
  REQUIRE(dying.metrics.ledger() >= 0);
  CHECK(FlightLedger::read(dying.metrics.ledger()).requests == 0);
  dying.worker.on_request_begun();
  dying.worker.on_request_begun();
  other.on_request_begun();
  const ListenerId listener = dying.metrics.listener("x");
  dying.worker.connections(listener, ConnectionState::kNew, 1);
  other.connections(listener, ConnectionState::kNew, 1);
  other.connections(listener, ConnectionState::kNew, -1);
  other.connections(listener, ConnectionState::kActive, 1);
  const Fd duplicate(::dup(dying.metrics.ledger()));
  CHECK(FlightLedger::read(duplicate.get()).requests == 3);
  CHECK(FlightLedger::read(duplicate.get()).connections == 1);
  other.on_request_done(dying.metrics.route("x"), answered(200, 1ms));
  CHECK(FlightLedger::read(duplicate.get()).requests == 2);
  CHECK(FlightLedger::read(-1).requests == 0);
}

}  // namespace sluice::observe
