// Snapshot: everything a request needs to know of the configuration, ready for use: routes with
// their filters and files, upstreams with their endpoints, ids for the metrics. Built whole by the
// control thread or not at all (DESIGN, law 8), const and shared afterwards; an exchange keeps the
// one it began with. What must outlive a reload (endpoints, turnstiles) is the Directory's, which
// defines the upstreams; what they have become since is told to the workers' clusters, not to the
// snapshot.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/exchange/tunnel.h"
#include "proxy/filter/registry.h"
#include "proxy/observe/metrics.h"
#include "proxy/route/table.h"
#include "proxy/upstream/definer.h"

namespace sluice::exchange {

struct RouteEntry {
  const config::Route* config = nullptr;
  filter::Factories filters;
  size_t upstream = 0;  // index in Snapshot::upstreams (action upstream)
  size_t fallback = 0;  // the same, of static.fallback
  observe::RouteId id;
  std::shared_ptr<TunnelCount> tunnels;  // that are open; the same for the same name
};

struct Snapshot {
  uint64_t number = 0;
  std::shared_ptr<const config::Config> config;
  std::unique_ptr<const route::Table> table;
  std::vector<RouteEntry> routes;  // by route::Route::id
  std::vector<upstream::Definition> upstreams;

  const RouteEntry& route(const route::Route& found) const { return routes[found.id]; }
};

// Null, and every reason in `faults`, when it cannot be built. Without a definer the endpoints are
// nobody's: enough for a check. Control thread.
std::shared_ptr<const Snapshot> build_snapshot(std::shared_ptr<const config::Config> config,
                                               const filter::Registry& filters,
                                               observe::Metrics& metrics, const Snapshot* previous,
                                               config::Faults& faults, upstream::Definer* definer);

}  // namespace sluice::exchange
