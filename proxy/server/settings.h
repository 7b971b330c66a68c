// Settings: what rooms that do not see the configuration are told of it. Pure functions, but for
// the limits of the process.
#pragma once

#include <optional>

#include "proxy/config/config.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/process_log.h"

namespace sluice::server {

// The soft limit on descriptors becomes the hard one.
void raise_descriptor_limit();
// Client connections the process may have open; each may need a descriptor to an upstream, too.
// Bytes that all buffers may have together.
uint64_t memory_ceiling(const config::Config& config);
// What the kernel may keep unsent for a client; 0: as much as it likes. Slow readers of large
// answers would pin its buffers, which count as our container's memory.
uint32_t unsent_ceiling(const config::Config& config);
uint32_t connection_ceiling(const config::Config& config);
// `task_cpus`: what an ECS task may use altogether, where that is known.
unsigned worker_count(const config::Config& config, std::optional<double> task_cpus = {});
observe::AccessLogOptions access_log_options(const config::AccessLog& config);
observe::ProcessLogOptions process_log_options(const config::Log& config);

}  // namespace sluice::server
