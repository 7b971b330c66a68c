#include "proxy/observe/worker_observer.h"

namespace sluice::observe {

void WorkerObserver::finished(const Record& record, RouteId route) {
  metrics_.on_request_done(route, record);
  if (log_ != nullptr) log_->add(record);
}

}  // namespace sluice::observe
