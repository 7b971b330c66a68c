// maintenance: the example of plugins/README.md. Answers 503 while work is done on the application.
#pragma once

#include <memory>

#include "proxy/config/node.h"
#include "proxy/filter/filter.h"

namespace sluice::plugins {

std::unique_ptr<filter::FilterFactory> make_maintenance(const config::Node& settings,
                                                        config::Faults& faults);

}  // namespace sluice::plugins
