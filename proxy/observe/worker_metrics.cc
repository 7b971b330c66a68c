#include "proxy/observe/worker_metrics.h"

namespace sluice::observe {

void WorkerMetrics::on_request_done(RouteId route, const Record& record) {
  flight_.requests.add(-1);
  requests_.add();
  RouteCell& cell = routes_.at(route.index);
  cell.codes.add(record.status);
  cell.bytes_in.add(record.bytes_in);
  cell.bytes_out.add(record.bytes_out);
  cell.seconds.observe(buckets_, record.total);
  if (record.reason.empty()) return;
  dropped_.add(record.reason);
  unserved_.add();
}

void WorkerMetrics::on_upstream_done(EndpointId endpoint, int code, Duration took) {
  endpoints_.at(endpoint.index).codes.add(code);
  upstreams_.at(endpoint.upstream.index).seconds.observe(buckets_, took);
}

void WorkerMetrics::connected(EndpointId endpoint, bool well) {
  EndpointCell& cell = endpoints_.at(endpoint.index);
  (well ? cell.connects : cell.connect_failures).add();
}

}  // namespace sluice::observe
