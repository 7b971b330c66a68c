// What HTTP/2 with clients adds to a scrape.
#include "proxy/observe/collector.h"

#include <utility>

namespace sluice::observe {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

namespace {

constexpr const char* kEndNames[] = {"answered", "client_reset", "reset", "refused"};
static_assert(std::size(kEndNames) == kH2StreamEnds);

}  // namespace

void Collector::collect_h2(Families& out) const {
  MetricFamily connections{"sluice_http2_connections",
                           "Open client connections that speak HTTP/2.",
                           MetricType::Gauge,
                           {}};
  ClientMetric open;
  for (const auto& worker : metrics_.workers_) {
    open.gauge.value += static_cast<double>(worker->h2_connections_.get());
  }
  connections.metric.push_back(std::move(open));
  out.push_back(std::move(connections));

  MetricFamily streams{"sluice_http2_streams_total",
                       "Streams of HTTP/2 clients, by how they ended.",
                       MetricType::Counter,
                       {}};
  for (size_t how = 0; how < kH2StreamEnds; ++how) {
    ClientMetric ended;
    ended.label = {{"end", kEndNames[how]}};
    for (const auto& worker : metrics_.workers_) {
      ended.counter.value += static_cast<double>(worker->h2_streams_[how].get());
    }
    streams.metric.push_back(std::move(ended));
  }
  out.push_back(std::move(streams));
}

}  // namespace sluice::observe
