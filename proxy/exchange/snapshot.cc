#include "proxy/exchange/snapshot.h"

#include <map>
#include <string_view>
#include <utility>

namespace sluice::exchange {
namespace {

size_t index_of(const std::vector<upstream::Definition>& upstreams, const std::string& name) {
  for (size_t i = 0; i < upstreams.size(); ++i) {
    if (upstreams[i].config.name == name) return i;
  }
  return 0;  // the configuration's check has made sure of the names that matter
}

using TunnelCounts = std::map<std::string_view, std::shared_ptr<TunnelCount>>;

TunnelCounts counts_of(const Snapshot* previous) {
  TunnelCounts counts;
  if (previous == nullptr) return counts;
  for (const RouteEntry& route : previous->routes) {
    counts.try_emplace(route.config->name, route.tunnels);
  }
  return counts;
}

}  // namespace

std::shared_ptr<const Snapshot> build_snapshot(std::shared_ptr<const config::Config> config,
                                               const filter::Registry& filters,
                                               observe::Metrics& metrics, const Snapshot* previous,
                                               config::Faults& faults, upstream::Definer* definer) {
  upstream::LooseDefiner loose(metrics);
  if (definer == nullptr) definer = &loose;
  auto next = std::make_shared<Snapshot>();
  next->number = previous == nullptr ? 1 : previous->number + 1;
  next->config = config;
  for (const config::Upstream& wanted : config->upstreams) {
    next->upstreams.push_back(definer->define(wanted, faults));
  }
  next->table = route::Table::build(config->routes, faults);
  const TunnelCounts counts = counts_of(previous);
  for (const config::Route& wanted : config->routes) {
    RouteEntry entry;
    entry.config = &wanted;
    entry.filters = filters.make(wanted.filters, faults);
    entry.upstream = index_of(next->upstreams, wanted.upstream);
    entry.fallback = index_of(next->upstreams, wanted.files.fallback);
    entry.id = metrics.route(wanted.name);
    const auto known = counts.find(wanted.name);
    entry.tunnels = known != counts.end() ? known->second : std::make_shared<TunnelCount>(0);
    next->routes.push_back(std::move(entry));
  }
  return faults.empty() ? next : nullptr;
}

}  // namespace sluice::exchange
