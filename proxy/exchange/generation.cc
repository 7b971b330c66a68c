#include "proxy/exchange/generation.h"

#include <utility>

namespace sluice::exchange {
namespace {

std::shared_ptr<upstream::Cluster> find_cluster(const Generation* previous,
                                                const std::string& name) {
  if (previous == nullptr) return nullptr;
  for (const auto& cluster : previous->clusters) {
    if (cluster->config().name == name) return cluster;
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<const Generation> next_generation(event::Loop& loop,
                                                  observe::WorkerMetrics& metrics,
                                                  std::shared_ptr<const Snapshot> snapshot,
                                                  const Generation* previous) {
  auto next = std::make_shared<Generation>();
  for (const upstream::Definition& definition : snapshot->upstreams) {
    auto cluster = find_cluster(previous, definition.config.name);
    if (cluster != nullptr) {
      cluster->reconfigure(definition);
    } else {
      cluster = std::make_shared<upstream::Cluster>(loop, metrics, definition);
    }
    next->clusters.push_back(std::move(cluster));
  }
  next->snapshot = std::move(snapshot);
  return next;
}

void redefine(const Generation& generation, const upstream::Definition& definition) {
  const auto cluster = find_cluster(&generation, definition.config.name);
  if (cluster != nullptr) cluster->reconfigure(definition);
}

}  // namespace sluice::exchange
