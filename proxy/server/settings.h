// Settings: what rooms that do not see the configuration are told of it. Pure functions.
#pragma once

#include "proxy/config/config.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/process_log.h"

namespace sluice::server {

unsigned worker_count(const config::Config& config);
observe::AccessLogOptions access_log_options(const config::AccessLog& config);
observe::ProcessLogOptions process_log_options(const config::Log& config);

}  // namespace sluice::server
