// What is said of endpoints in the log and the status. Static texts; any thread.
#pragma once

#include <string_view>

#include "proxy/upstream/endpoint_machine.h"

namespace sluice::upstream {

std::string_view name_of(EndpointState state);  // "holding"
std::string_view reason_of(EndpointNews news);  // "connection refused"

}  // namespace sluice::upstream
