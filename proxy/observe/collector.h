// Collector: sums the workers' cells and says them in Prometheus' families. Made for one scrape, by
// Metrics only. What was never counted is not shown, so ten thousand idle routes cost a scrape
// nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include "proxy/observe/metrics.h"

namespace sluice::observe {

class Collector final : public prometheus::Collectable {
 public:
  explicit Collector(const Metrics& metrics) : metrics_(metrics) {}

  std::vector<prometheus::MetricFamily> Collect() const override;
  // Requires: metrics.mutex_ is held.
  MetricTotals totals() const;
  int64_t in_flight(EndpointId endpoint) const;
  // What this process and those before it have counted, and what it was told. The same.
  std::vector<prometheus::MetricFamily> counted() const;
  void collect_told(std::vector<prometheus::MetricFamily>& out) const;

 private:
  using Families = std::vector<prometheus::MetricFamily>;
  using Labels = std::vector<prometheus::ClientMetric::Label>;
  struct HistogramSum;

  void collect_requests(Families& out) const;
  void collect_drops(Families& out) const;
  void collect_tunnels(Families& out) const;
  void collect_listeners(Families& out) const;
  void collect_handshakes(Families& out) const;
  void collect_values(Families& out) const;
  void collect_h2(Families& out) const;
  void collect_upstreams(Families& out) const;
  void collect_endpoints(Families& out) const;
  void collect_endpoint_states(Families& out) const;
  void collect_checks(Families& out) const;
  void collect_process(Families& out) const;
  void collect_control(Families& out) const;

  // Sums `read(const Cell&)` over the workers that have a cell there.
  template <typename Cell, typename Read>
  auto sum(const CellTable<Cell> WorkerMetrics::*table, uint32_t id, Read read) const;
  template <typename Cell>
  bool is_known(const CellTable<Cell> WorkerMetrics::*table, uint32_t id) const;
  template <typename Cell>
  void add_codes(prometheus::MetricFamily& family, const Labels& labels,
                 const CellTable<Cell> WorkerMetrics::*table, uint32_t id) const;
  template <typename Cell>
  void add_histogram(prometheus::MetricFamily& family, const Labels& labels,
                     const CellTable<Cell> WorkerMetrics::*table, uint32_t id,
                     const HistogramCell Cell::*histogram) const;
  void add_reasons(prometheus::MetricFamily& family, const char* label,
                   const ReasonCounts WorkerMetrics::*reasons) const;

  const Metrics& metrics_;
};

}  // namespace sluice::observe
