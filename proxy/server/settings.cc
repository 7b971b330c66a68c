#include "proxy/server/settings.h"

#include "proxy/server/cpus.h"

namespace sluice::server {

unsigned worker_count(const config::Config& config) {
  return config.workers > 0 ? config.workers : usable_cpus();
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
