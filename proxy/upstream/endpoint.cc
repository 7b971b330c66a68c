#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

void Endpoint::note(EndpointNews news) {
  // By far the most frequent: nothing to learn, nothing to lock.
  if (state() == EndpointState::kReady &&
      (news == EndpointNews::kAnswered || news == EndpointNews::kConnected ||
       news == EndpointNews::kListens)) {
    return;
  }
  EndpointState from;
  EndpointState to;
  {
    const std::lock_guard lock(mutex_);
    from = machine_.state();
    if (!machine_.on(news)) return;
    to = machine_.state();
    changed_at_.store(steady_now().time_since_epoch().count(), std::memory_order_relaxed);
    state_.store(to, std::memory_order_release);
  }
  if (events_ != nullptr) events_->on_endpoint_changed(*this, from, to, news);
}

}  // namespace sluice::upstream
