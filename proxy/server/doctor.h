// Doctor: compares the numbers of everything around a request (balancer, task, sluice, application,
// kernel) and says which contradict each other, and what to change. Most lost requests in
// production are two such numbers in the wrong order. Pure; for `sluice doctor`. Each rule is one
// line of doctor.cc; the facts behind them are those of AWS, gunicorn and uWSGI as documented.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/server/application_command.h"
#include "proxy/server/task_definition.h"

namespace sluice::server {

// What the configuration does not say. What is not known is not judged.
struct Surroundings {
  Duration balancer_idle = std::chrono::seconds(60);
  std::optional<Duration> deregistration_delay;
  std::optional<TaskDefinition> task;
  std::string container = "sluice";  // our name in it
  uint64_t open_files = 0;           // 0: not known, as all that follows
  uint64_t somaxconn = 0;
  unsigned cpus = 0;
};

struct Finding {
  enum class Weight : uint8_t { kNote, kWarning, kFault };
  Weight weight = Weight::kNote;
  std::string what;
  std::string remedy;
  bool operator==(const Finding&) const = default;
};

std::vector<Finding> examine(const config::Config& config, const Surroundings& around);

}  // namespace sluice::server
