// Commands: the command line: `sluice run|check|healthcheck|status|plan|doctor`, and the orders
// `reload|drain|undrain|reopen|upgrade|endpoint`. Every flag has an environment variable. Exit
// codes: 0 well, 1 runtime failure, 2 bad usage or configuration.
#pragma once

#include <string>

#include "proxy/filter/registry.h"

namespace sluice::server {

int run_command(int argc, char** argv, const filter::Registry& filters, const std::string& version);

}  // namespace sluice::server
