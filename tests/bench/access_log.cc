// What one request costs the worker in observing it: the line formatted and queued, the counters
// moved. Prints nanoseconds; the writer thread's share (write(2) to /dev/null) is in the CPU time.
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/worker_observer.h"

namespace {

using namespace sluice;
using namespace sluice::observe;
using namespace std::chrono_literals;

Record typical() {
  Record record;
  record.client = "203.0.113.77";
  record.peer = "10.0.3.21";
  record.method = "GET";
  record.host = "www.example.com";
  record.target = "/catalogue/items/12345?colour=red&page=2";
  record.protocol = "HTTP/1.1";
  record.scheme = "https";
  record.request_id = "6f1c1bd0a4e54c8f9d0e7b1a2c3d4e5f";
  record.trace_id = "Root=1-67891233-abcdef012345678912345678";
  record.user_agent =
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari";
  record.status = 200;
  record.route = "catalogue";
  record.upstream = "django";
  record.endpoint = "127.0.0.1:8000";
  record.upstream_status = 200;
  record.attempts = 1;
  record.bytes_out = 128;
  record.started = wall_now();
  record.total = 1234567ns;
  record.queued = 0ns;
  record.connect = 0ns;
  record.first_byte = 1200us;
  record.upstream_total = 1230us;
  return record;
}

double cpu_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <typename Work>
void measure(const char* name, Work work) {
  constexpr int kRounds = 2'000'000;
  const double cpu = cpu_nanoseconds();
  const TimePoint start = steady_now();
  for (int i = 0; i < kRounds; ++i) work(i);
  std::printf("%-32s %6.0f ns  (%6.0f ns of CPU with the writer)\n", name,
              static_cast<double>((steady_now() - start).count()) / kRounds,
              (cpu_nanoseconds() - cpu) / kRounds);
}

}  // namespace

int main() {
  auto log = AccessLog::open({AccessLogFormat::kJson, "/dev/null", 64_MiB}, 1);
  if (!log) return 1;
  Metrics metrics({{0.001, 0.0025, 0.005, 0.01, 0.1, 1, 10}, "bench"});
  WorkerMetrics& worker = metrics.add_worker();
  WorkerObserver observer(worker, &(*log)->queue(0));
  std::vector<RouteId> routes;
  for (int i = 0; i < 10; ++i) routes.push_back(metrics.route(std::to_string(i)));

  Record record = typical();
  AccessLogFormatter formatter;
  std::vector<char> memory(AccessLogFormatter::kMostLine);
  measure("format a JSON line", [&](int i) {
    record.bytes_out = static_cast<uint64_t>(i);
    formatter.format(record, AccessLogFormat::kJson, memory.data());
  });
  measure("format a combined line", [&](int i) {
    record.bytes_out = static_cast<uint64_t>(i);
    formatter.format(record, AccessLogFormat::kCombined, memory.data());
  });
  measure("count a request", [&](int i) {
    worker.on_request_begun();
    worker.on_request_done(routes[static_cast<size_t>(i % 10)], record);
  });
  measure("observe a request, log and all", [&](int i) {
    observer.begun();
    observer.finished(record, routes[static_cast<size_t>(i % 10)]);
  });
  (*log)->close(5s);
  std::printf("lost: %llu\n", static_cast<unsigned long long>((*log)->lost()));
}
