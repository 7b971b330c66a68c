// TaskDefinition: what an ECS task definition (the JSON of register-task-definition, or what
// describe-task-definition prints) says that matters to a proxy beside an application. Plain values
// and their parser; for `sluice doctor`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace sluice::server {

struct ContainerDefinition {
  struct Dependency {
    std::string container;
    std::string condition;  // START, COMPLETE, SUCCESS, HEALTHY
  };
  std::string name;
  std::string image;
  std::vector<std::string> command;  // entryPoint and command together
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> health_check;  // empty: none
  std::vector<Dependency> depends_on;
  std::optional<Duration> stop_timeout;
  std::optional<uint64_t> open_files;  // soft limit of ulimits.nofile
  std::string user;
  bool read_only = false;  // readonlyRootFilesystem
  bool depends_on_container(std::string_view other) const;
};

struct TaskDefinition {
  std::optional<double> cpu;  // vCPUs of the task
  std::vector<ContainerDefinition> containers;
  const ContainerDefinition* find(std::string_view name) const;
};

Result<TaskDefinition> parse_task_definition(std::string_view json);

}  // namespace sluice::server
