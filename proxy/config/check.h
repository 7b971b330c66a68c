// What several values say together: addresses taken twice, routes that hide each other, times that
// contradict. Faults stop a load; notes do not: they are things that work, but hardly as meant.
#pragma once

#include "proxy/config/config.h"
#include "proxy/config/node.h"

namespace sluice::config {

// `root` is what the configuration was read from, for the lines.
void check(const Node& root, const Config& config, Faults& faults, Faults& notes);
// Gives every route that has no name one made of its host and path, each a different one: the name
// is a label in the metrics.
void name_routes(std::vector<Route>& routes);

}  // namespace sluice::config
