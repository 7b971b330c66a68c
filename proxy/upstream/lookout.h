// Lookout: all that looks at endpoints beside the requests themselves: the watch of listeners and
// the active checks. The Directory tells it which endpoints there are; what it finds goes to
// Endpoint::note(). Made before the Directory's first endpoint, owned by the Process; control
// thread.
#pragma once

#include <memory>

#include "proxy/config/upstream.h"
#include "proxy/event/loop.h"
#include "proxy/net/listener_table.h"
#include "proxy/observe/metrics.h"
#include "proxy/upstream/listener_watch.h"
#include "proxy/upstream/prober.h"

namespace sluice::upstream {

class Lookout {
 public:
  // Requires: loop, metrics outlive it.
  Lookout(event::Loop& loop, observe::Metrics& metrics)
      : watch_(loop, table_), prober_(loop, metrics) {}

  // A new endpoint goes to kHolding, and stays there until its first check was well.
  static bool is_down_at_first(const config::Upstream& upstream) {
    return upstream.health.kind != config::HealthCheck::Kind::kOff && !upstream.health.up_at_first;
  }

  // From now on; again with what a new configuration says.
  void watch(std::shared_ptr<Endpoint> endpoint, const config::Upstream& upstream);
  void unwatch(const Endpoint& endpoint);
  // To be told soon after an endpoint has changed (from the loop, not from inside note()): saves
  // the wait for the next beat, nothing else.
  void on_endpoint_changed() { watch_.on_endpoint_changed(); }

 private:
  net::ListenerTable table_;
  ListenerWatch watch_;
  Prober prober_;
};

}  // namespace sluice::upstream
