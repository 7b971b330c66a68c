// Dump: a configuration as the YAML that makes it, every default written out. For people
// (`sluice check --print`) and for the test that reads it back. Pure; any thread.
#pragma once

#include <string>

#include "proxy/config/config.h"

namespace sluice::config {

std::string dump(const Config& config);

}  // namespace sluice::config
