// The filters that ship, by the names the configuration knows them by.
#pragma once

#include "proxy/filter/registry.h"

namespace sluice::plugins {

void register_all(filter::Registry& registry);

}  // namespace sluice::plugins
