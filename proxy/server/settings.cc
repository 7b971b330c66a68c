#include "proxy/server/settings.h"

#include <sys/resource.h>

#include <algorithm>

#include <algorithm>
#include <cmath>

#include "proxy/server/cpus.h"

namespace sluice::server {
namespace {

constexpr uint64_t kSpareDescriptors = 64;  // for logs, files, listeners, the control thread

// About what a connection with a request costs us and the kernel, its body apart. They have the
// half of the memory that the buffers (memory_ceiling) have not.
constexpr uint64_t kConnectionMemory = 8 * 1024;
constexpr uint64_t kSecureConnectionMemory = 24 * 1024;
// Of limits.memory: for 256 MiB 128 KiB, which is enough for any speed.
constexpr uint64_t kUnsentShare = 2048;
constexpr uint64_t kUnsentLeast = 16 * 1024;
constexpr uint64_t kUnsentMost = 4 * 1024 * 1024;  // what the kernel's own ceiling is

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
  const bool secure = std::any_of(config.listeners.begin(), config.listeners.end(),
                                  [](const auto& listener) { return listener.tls.enabled; });
  const uint64_t each = secure ? kSecureConnectionMemory : kConnectionMemory;
  const uint64_t automatic = std::min(possible, usable_memory() / 2 / each);
  const uint64_t wanted = config.limits.connections == 0 ? automatic : config.limits.connections;
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, UINT32_MAX));
}

uint64_t memory_ceiling(const config::Config& config) {
  return config.limits.memory.count > 0 ? config.limits.memory.count : usable_memory() / 2;
}

uint32_t unsent_ceiling(const config::Config& config) {
  const uint64_t share = memory_ceiling(config) / kUnsentShare;
  return share >= kUnsentMost ? 0 : static_cast<uint32_t>(std::max(share, kUnsentLeast));
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
