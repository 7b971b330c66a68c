#include "proxy/exchange/snapshot.h"

#include <utility>

namespace sluice::exchange {
namespace {

const upstream::Definition* find_definition(const Snapshot* previous, const std::string& name) {
  if (previous == nullptr) return nullptr;
  for (const auto& definition : previous->upstreams) {
    if (definition.config.name == name) return &definition;
  }
  return nullptr;
}

std::shared_ptr<upstream::Endpoint> find_endpoint(const upstream::Definition* before,
                                                  const std::string& name) {
  if (before == nullptr) return nullptr;
  for (const auto& endpoint : before->endpoints) {
    if (endpoint->name() == name) return endpoint;
  }
  return nullptr;
}

upstream::Definition define(const config::Upstream& config, const upstream::Definition* before,
                            observe::Metrics& metrics, config::Faults& faults) {
  upstream::Definition made;
  made.config = config;
  made.id = metrics.upstream(config.name);
  // Connections of another protocol are of no use: such an upstream begins anew.
  if (before != nullptr && before->config.protocol != config.protocol) before = nullptr;
  made.turnstile = before != nullptr ? before->turnstile : std::make_shared<upstream::Turnstile>();
  for (const config::EndpointSource& wanted : config.endpoints) {
    auto address = net::SocketAddress::from(wanted.address);
    if (!address) {
      faults.add(config.place.file, config.place.line, "upstreams." + config.name + ".endpoints",
                 address.error().detail);
      continue;
    }
    auto endpoint = find_endpoint(before, address->text());
    if (endpoint == nullptr) {
      endpoint = std::make_shared<upstream::Endpoint>(
          address->text(), *address, metrics.endpoint(config.name, address->text()));
    }
    metrics.set_endpoint_state(endpoint->id(), endpoint->state());
    made.endpoints.push_back(std::move(endpoint));
  }
  return made;
}

// What the new configuration no longer names is no longer shown.
void forget_endpoints(const Snapshot* previous, const Snapshot& next, observe::Metrics& metrics) {
  if (previous == nullptr) return;
  for (const auto& definition : previous->upstreams) {
    const auto* kept = find_definition(&next, definition.config.name);
    for (const auto& endpoint : definition.endpoints) {
      if (find_endpoint(kept, endpoint->name()) != nullptr) continue;
      metrics.set_endpoint_state(endpoint->id(), observe::EndpointState::kGone);
    }
  }
}

size_t index_of(const std::vector<upstream::Definition>& upstreams, const std::string& name) {
  for (size_t i = 0; i < upstreams.size(); ++i) {
    if (upstreams[i].config.name == name) return i;
  }
  return 0;  // the configuration's check has made sure of the names that matter
}

}  // namespace

std::shared_ptr<const Snapshot> build_snapshot(std::shared_ptr<const config::Config> config,
                                               const filter::Registry& filters,
                                               observe::Metrics& metrics, const Snapshot* previous,
                                               config::Faults& faults) {
  auto next = std::make_shared<Snapshot>();
  next->number = previous == nullptr ? 1 : previous->number + 1;
  next->config = config;
  for (const config::Upstream& wanted : config->upstreams) {
    next->upstreams.push_back(
        define(wanted, find_definition(previous, wanted.name), metrics, faults));
  }
  next->table = route::Table::build(config->routes, faults);
  for (const config::Route& wanted : config->routes) {
    RouteEntry entry;
    entry.config = &wanted;
    entry.filters = filters.make(wanted.filters, faults);
    entry.upstream = index_of(next->upstreams, wanted.upstream);
    entry.fallback = index_of(next->upstreams, wanted.files.fallback);
    entry.id = metrics.route(wanted.name);
    next->routes.push_back(std::move(entry));
  }
  if (!faults.empty()) return nullptr;
  forget_endpoints(previous, *next, metrics);
  return next;
}

}  // namespace sluice::exchange
