// Metrics: all that is counted in the process: the workers' cells, the names they are labelled
// with, and what the control thread knows (states, reloads, configuration). Renders it as
// Prometheus text. One per process, made first, destroyed last. Any thread but a worker: a mutex
// guards the tables; workers only touch their own WorkerMetrics and, for endpoint states, one
// atomic.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/observe/flight_ledger.h"
#include "proxy/observe/inheritance.h"
#include "proxy/observe/metric_cells.h"
#include "proxy/observe/metric_ids.h"
#include "proxy/observe/name_table.h"
#include "proxy/observe/worker_metrics.h"

namespace sluice::observe {

struct MetricsOptions {
  std::vector<double> buckets;  // seconds; sorted here, the first kMostBuckets are used
  std::string version;
};

// A few sums for `sluice status` and the drain's evidence.
struct MetricTotals {
  uint64_t requests = 0;  // over
  uint64_t unserved = 0;  // of them those with a reason
  uint64_t accepts = 0;
  int64_t in_flight = 0;
  int64_t connections = 0;
  int64_t held = 0;
};

class Metrics {
 public:
  explicit Metrics(MetricsOptions options);
  ~Metrics();

  // For one worker, for good.
  WorkerMetrics& add_worker();

  // Ids for a snapshot's names. The same name gets the same id for the life of the process.
  RouteId route(std::string_view name);
  ListenerId listener(std::string_view name);
  UpstreamId upstream(std::string_view name);
  EndpointId endpoint(std::string_view upstream, std::string_view endpoint);

  // Any thread, workers too.
  void set_endpoint_state(EndpointId endpoint, EndpointState state) {
    endpoint_states_[endpoint.index].store(state, std::memory_order_relaxed);
  }
  void set_drain_state(DrainState state) { drain_state_.store(state, std::memory_order_relaxed); }

  void set_config(std::string_view hash, uint64_t generation);
  void reloaded(bool well);
  // An active check of this endpoint is over.
  void checked(EndpointId endpoint, bool well);
  // It was put out for its failures.
  void ejected(EndpointId endpoint);
  // More that is only read when the metrics are. `name` without "sluice_", a counter's with
  // "_total". Requires: `read` may be called from any thread for as long as this lives.
  void read_counter(std::string name, std::string help, std::function<double()> read);
  void read_gauge(std::string name, std::string help, std::function<double()> read);
  // A family of gauges with one label, in place of what it was: by the label's value.
  using Values = std::map<std::string, double>;
  void set_values(const std::string& family, std::string help, std::string label, Values values);
  // What is always 1 and says it with its labels.
  using InfoLabels = std::vector<std::pair<std::string, std::string>>;
  void set_info(std::string name, std::string help, InfoLabels labels);

  // An upgrade (observe/inheritance.h): what a predecessor counted, what is new for a successor.
  bool inherit(std::string_view text);
  std::string take_increment();
  // The first increment; from now on render() says what it said then, so that nobody who asks both
  // processes in turn sees a counter fall.
  std::string retire();
  // A counter that somebody else keeps over the life of processes; told again, it is replaced.
  void tell(std::string family, std::string help, std::string label, std::string value,
            uint64_t count);
  // See FlightLedger.
  int ledger() const { return ledger_.descriptor(); }

  std::string render() const;  // text/plain; version=0.0.4
  MetricTotals totals() const;
  // Connections to this endpoint that carry a request.
  int64_t in_flight(EndpointId endpoint) const;
  // Requests over, on these routes.
  uint64_t requests_of(const std::vector<RouteId>& routes) const;
  // dropped_total, by reason.
  std::map<std::string, uint64_t> drops() const;

 private:
  friend class Collector;
  struct Checks {
    uint64_t well = 0;
    uint64_t badly = 0;
  };
  struct Source {
    std::string name;
    std::string help;
    bool is_counter = false;
    std::function<double()> read;
  };

  struct Info {
    std::string name;
    std::string help;
    InfoLabels labels;
  };
  struct Told {
    std::string family;
    std::string help;
    std::string label;
    std::string value;
    uint64_t count = 0;
  };
  struct ValueTable {
    std::string help;
    std::string label;
    Values values;  // bounded by who sets them: names of the configuration
  };
  static constexpr size_t kMostTold = 256;

  const std::string version_;
  const Buckets buckets_;
  const TimePoint born_;
  std::atomic<DrainState> drain_state_{DrainState::kServing};
  std::array<std::atomic<EndpointState>, CellTable<EndpointCell>::kMostIds> endpoint_states_{};

  FlightLedger ledger_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<WorkerMetrics>> workers_;
  NameTable routes_;
  NameTable listeners_;
  NameTable upstreams_;
  NameTable endpoints_;
  std::string config_hash_;
  uint64_t config_generation_ = 0;
  uint64_t reloads_ = 0;
  uint64_t failed_reloads_ = 0;
  std::map<uint32_t, Checks> checks_;       // by endpoint; bounded as endpoints_ is
  std::map<uint32_t, uint64_t> ejections_;  // the same
  std::vector<Source> sources_;
  std::vector<Info> infos_;
  std::map<std::string, ValueTable> values_;
  Inheritance inheritance_;
  std::string last_text_;   // of a process that retires
  std::vector<Told> told_;  // bounded by kMostTold
};

}  // namespace sluice::observe
