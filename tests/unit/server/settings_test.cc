#include "proxy/server/settings.h"

#include <doctest/doctest.h>

#include "proxy/server/cpus.h"

using namespace sluice;
using namespace sluice::server;

TEST_CASE("settings: workers as configured, or as many as may run") {
  config::Config config;
  config.workers = 3;
  CHECK(worker_count(config) == 3);
  config.workers = 0;
  CHECK(worker_count(config) == usable_cpus());
}

TEST_CASE("settings: connections as configured, or as many as there is memory for") {
  config::Config config;
  config.limits.connections = 77;
  CHECK(connection_ceiling(config) == 77);
  config.limits.connections = 0;
  CHECK(connection_ceiling(config) >= 16);
  CHECK(connection_ceiling(config) <= usable_memory() / 2 / 8192);
  const uint32_t plain = connection_ceiling(config);
  config.listeners.resize(1);
  CHECK(connection_ceiling(config) == plain);
  config.listeners[0].tls.enabled = true;
  CHECK(connection_ceiling(config) <= plain);
  CHECK(connection_ceiling(config) <= usable_memory() / 2 / 24576);
}

TEST_CASE("settings: a small container leaves little with the kernel") {
  config::Config config;
  config.limits.memory = 256_MiB;
  CHECK(memory_ceiling(config) == (256ULL << 20));
  CHECK(unsent_ceiling(config) == 128 * 1024);
  config.limits.memory = 1_MiB;
  CHECK(unsent_ceiling(config) == 16 * 1024);
  config.limits.memory = 8_GiB;
  CHECK(unsent_ceiling(config) == 0);
}

TEST_CASE("settings: the access log's") {
  config::AccessLog log;
  log.path = "/x";
  log.buffer = 7_KiB;
  log.format = config::LogFormat::kCombined;
  const auto options = access_log_options(log);
  CHECK(options.path == "/x");
  CHECK(options.buffer == 7_KiB);
  CHECK(options.format == observe::AccessLogFormat::kCombined);
  log.format = config::LogFormat::kOff;
  CHECK(access_log_options(log).format == observe::AccessLogFormat::kOff);
  log.format = config::LogFormat::kJson;
  CHECK(access_log_options(log).format == observe::AccessLogFormat::kJson);
}

TEST_CASE("settings: the process log's, each level its own") {
  using config::LogLevel;
  using observe::Severity;
  const std::pair<LogLevel, Severity> table[] = {{LogLevel::kDebug, Severity::kDebug},
                                                 {LogLevel::kInfo, Severity::kInfo},
                                                 {LogLevel::kWarning, Severity::kWarning},
                                                 {LogLevel::kError, Severity::kError}};
  for (const auto& [level, severity] : table) {
    config::Log log;
    log.path = "/y";
    log.level = level;
    CHECK(process_log_options(log).level == severity);
    CHECK(process_log_options(log).path == "/y");
  }
}
