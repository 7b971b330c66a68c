// Definer: makes what a snapshot says of one upstream: its configuration, its endpoints, what its
// clusters share. The Directory is the one of a process that serves; LooseDefiner is for a mere
// check of a configuration. Control thread.
#pragma once

#include "proxy/observe/metrics.h"
#include "proxy/upstream/cluster.h"

namespace sluice::upstream {

class Definer {
 public:
  // Changes nothing that serves: what comes of it is adopted, or forgotten.
  virtual Definition define(const config::Upstream& config, config::Faults& faults) = 0;

 protected:
  ~Definer() = default;
};

// Endpoints that nobody keeps and nobody hears of; names are not looked up.
class LooseDefiner final : public Definer {
 public:
  explicit LooseDefiner(observe::Metrics& metrics) : metrics_(metrics) {}
  Definition define(const config::Upstream& config, config::Faults& faults) override;

 private:
  observe::Metrics& metrics_;
};

// Addresses that no socket can have, as faults of the configuration.
void check_sources(const config::Upstream& config, config::Faults& faults);

}  // namespace sluice::upstream
