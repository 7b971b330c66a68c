// Generation: one worker's working form of a Snapshot: the snapshot and this worker's clusters, by
// the index of their upstream. An exchange keeps the generation it began with; the worker keeps the
// newest. Clusters are carried over by name, so that pools, queues and counters outlive a reload;
// the last generation that names one destroys it, when no exchange can use it any more. (shared_ptr
// here as for Snapshot: STYLE, ownership.) One thread.
#pragma once

#include <memory>
#include <vector>

#include "proxy/exchange/snapshot.h"
#include "proxy/upstream/cluster.h"

namespace sluice::exchange {

struct Generation {
  std::shared_ptr<const Snapshot> snapshot;
  std::vector<std::shared_ptr<upstream::Cluster>> clusters;  // as snapshot->upstreams
};

std::shared_ptr<const Generation> next_generation(event::Loop& loop,
                                                  observe::WorkerMetrics& metrics,
                                                  std::shared_ptr<const Snapshot> snapshot,
                                                  const Generation* previous);

// The endpoints of one upstream have changed since the snapshot was built; one that the generation
// does not name is left alone.
void redefine(const Generation& generation, const upstream::Definition& definition);

}  // namespace sluice::exchange
