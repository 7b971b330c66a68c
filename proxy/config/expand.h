// Variables in values: ${NAME} and ${NAME:-default}, put in after the YAML was parsed, so that a
// value never becomes structure. $${ stands for ${; any other $ is left alone. Defaults may hold
// variables.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/config/node.h"

namespace sluice::config {

// The value of a variable; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view)>;
// That of the process.
std::optional<std::string> process_environment(std::string_view name);

// In every scalar of the tree. A variable that is not set and has no default is a fault; with a
// default, an empty variable counts as not set (as in a shell).
void expand(Node& node, const Environment& environment, Faults& faults);

}  // namespace sluice::config
