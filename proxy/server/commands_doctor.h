// `sluice doctor`: reads the configuration, the task definition and the machine it runs on, and
// prints what server/doctor finds. Exit codes: 0 nothing worse than a warning, 1 a fault, 2 bad
// usage or configuration.
#pragma once

#include <functional>

#include "proxy/filter/registry.h"

namespace CLI {
class App;
}

namespace sluice::server {

// Adds the subcommand; when it is chosen, `chosen` becomes what does it.
void add_doctor(CLI::App& app, const filter::Registry& filters, std::function<int()>& chosen);

}  // namespace sluice::server
