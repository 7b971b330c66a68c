// `sluice endpoints [NAME]` and `sluice endpoint add|remove|drain|undrain|weight NAME ADDRESS`: the
// endpoints of a running sluice, over its admin socket. Exit codes: 0 done, 1 not done (why is on
// stderr), 2 bad usage.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace sluice::server {

// Adds the subcommands; when one is chosen, `chosen` becomes what does it.
void add_endpoints(CLI::App& app, std::function<int()>& chosen);

// The endpoints in the JSON of GET /status as a table; of one upstream, unless `upstream` is empty.
std::string endpoint_table(const std::string& json, const std::string& upstream);

}  // namespace sluice::server
