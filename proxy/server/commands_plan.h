// `sluice plan -c NEW`: prints what a reload to NEW would change in the running sluice, asked over
// its admin socket, or between two files. Exit codes: 0 (with --exit-code: nothing would change),
// 1 the running one cannot be asked, 2 bad usage or configuration, 3 with --exit-code: changes.
#pragma once

#include <functional>

#include "proxy/filter/registry.h"

namespace CLI {
class App;
}

namespace sluice::server {

// Adds the subcommand; when it is chosen, `chosen` becomes what does it.
void add_plan(CLI::App& app, const filter::Registry& filters, std::function<int()>& chosen);

}  // namespace sluice::server
