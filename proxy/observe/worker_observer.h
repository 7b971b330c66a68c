// WorkerObserver: what a worker tells of its exchanges, in one place: a line for the log and a few
// counters. One per worker, its thread only; borrows both from the process.
#pragma once

#include "proxy/observe/access_log_queue.h"
#include "proxy/observe/record.h"
#include "proxy/observe/worker_metrics.h"

namespace sluice::observe {

class WorkerObserver {
 public:
  // `log` may be null: nothing is logged.
  WorkerObserver(WorkerMetrics& metrics, AccessLogQueue* log) : metrics_(metrics), log_(log) {}

  WorkerMetrics& metrics() { return metrics_; }
  void begun() { metrics_.on_request_begun(); }
  // Once for each begun().
  void finished(const Record& record, RouteId route);

 private:
  WorkerMetrics& metrics_;
  AccessLogQueue* const log_;
};

}  // namespace sluice::observe
