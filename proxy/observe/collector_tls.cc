// What TLS with clients adds to a scrape; and gauges that somebody else keeps.
#include "proxy/observe/collector.h"

#include <utility>

namespace sluice::observe {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

namespace {

struct HandshakeLabels {
  const char* result;
  const char* version;
  const char* resumed;
};
constexpr HandshakeLabels kHandshakeLabels[] = {
    {"success", "1.2", "no"},      {"success", "1.2", "yes"},    {"success", "1.3", "no"},
    {"success", "1.3", "yes"},     {"failure", "none", "no"},    {"timeout", "none", "no"},
    {"client_left", "none", "no"}, {"plain_http", "none", "no"}, {"ceiling", "none", "no"},
};

}  // namespace

void Collector::collect_handshakes(Families& out) const {
  MetricFamily handshakes{"sluice_tls_handshakes_total",
                          "TLS with clients begun, by how it went.",
                          MetricType::Counter,
                          {}};
  for (uint32_t id = kOtherName; id < metrics_.listeners_.size(); ++id) {
    for (size_t how = 0; how < kHandshakes; ++how) {
      uint64_t count = 0;
      for (const auto& worker : metrics_.workers_) {
        const ListenerCell* cell = worker->listeners_.find(id);
        if (cell != nullptr) count += cell->handshakes[how].get();
      }
      if (count == 0) continue;
      const auto& [result, version, resumed] = kHandshakeLabels[how];
      ClientMetric metric;
      metric.label = {{"listener", metrics_.listeners_.names(id).first},
                      {"result", result},
                      {"version", version},
                      {"resumed", resumed}};
      metric.counter.value = static_cast<double>(count);
      handshakes.metric.push_back(std::move(metric));
    }
  }
  if (!handshakes.metric.empty()) out.push_back(std::move(handshakes));
}

void Collector::collect_values(Families& out) const {
  for (const auto& [name, table] : metrics_.values_) {
    MetricFamily values{name, table.help, MetricType::Gauge, {}};
    for (const auto& [label, value] : table.values) {
      ClientMetric metric;
      metric.label = {{table.label, label}};
      metric.gauge.value = value;
      values.metric.push_back(std::move(metric));
    }
    if (!values.metric.empty()) out.push_back(std::move(values));
  }
}

}  // namespace sluice::observe
