#include "proxy/server/settings.h"

#include <sys/resource.h>

#include <algorithm>

#include <algorithm>
#include <cmath>

#include "proxy/server/cpus.h"

namespace sluice::server {
namespace {

constexpr uint64_t kSpareDescriptors = 64;  // for logs, files, listeners, the control thread

}  // namespace

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

uint32_t connection_ceiling(const config::Config& config) {
  rlimit limit{};
  const uint64_t descriptors = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
  const uint64_t possible =
      std::max<uint64_t>(16, (descriptors - std::min(descriptors, kSpareDescriptors)) / 2);
  const uint64_t wanted = config.limits.connections == 0 ? possible : config.limits.connections;
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, UINT32_MAX));
}

unsigned worker_count(const config::Config& config, std::optional<double> task_cpus) {
  if (config.workers > 0) return config.workers;
  const unsigned usable = usable_cpus();
  if (!task_cpus) return usable;
  return std::clamp(static_cast<unsigned>(std::ceil(*task_cpus)), 1U, usable);
}

observe::AccessLogOptions access_log_options(const config::AccessLog& config) {
  observe::AccessLogOptions options;
  switch (config.format) {
    case config::LogFormat::kJson: options.format = observe::AccessLogFormat::kJson; break;
    case config::LogFormat::kCombined: options.format = observe::AccessLogFormat::kCombined; break;
    case config::LogFormat::kOff: options.format = observe::AccessLogFormat::kOff; break;
  }
  options.path = config.path;
  options.buffer = config.buffer;
  return options;
}

observe::ProcessLogOptions process_log_options(const config::Log& config) {
  observe::ProcessLogOptions options;
  options.path = config.path;
  switch (config.level) {
    case config::LogLevel::kDebug: options.level = observe::Severity::kDebug; break;
    case config::LogLevel::kInfo: options.level = observe::Severity::kInfo; break;
    case config::LogLevel::kWarning: options.level = observe::Severity::kWarning; break;
    case config::LogLevel::kError: options.level = observe::Severity::kError; break;
  }
  return options;
}

}  // namespace sluice::server
