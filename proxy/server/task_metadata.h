// TaskMetadata: what the ECS agent says of the task this process runs in (task metadata endpoint
// version 4, GET $ECS_CONTAINER_METADATA_URI_V4/task). Plain values and their parser; any thread.
// The answer is JSON of an agent we do not control: what is missing stays empty, what has the wrong
// type is as missing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace sluice::server {

struct TaskContainer {
  std::string name;
  std::string desired;  // "RUNNING", "STOPPED"
  std::string known;    // the same, as it is now
  std::string health;   // "HEALTHY", "UNHEALTHY", "UNKNOWN"; empty: no check
};

struct TaskMetadata {
  std::string arn;
  std::string family;
  std::string revision;
  std::string service;
  std::string zone;
  std::string desired;        // of the task
  std::optional<double> cpu;  // vCPUs the whole task may use
  std::vector<TaskContainer> containers;
};

Result<TaskMetadata> parse_task_metadata(std::string_view json);

// Which of the containers we are: `json` is what $ECS_CONTAINER_METADATA_URI_V4 itself answers.
// Empty when it does not say.
std::string container_name(std::string_view json);

// The containers whose end means that the application ends: `application` alone when it is named,
// else every one but `own`.
std::vector<const TaskContainer*> application_containers(const TaskMetadata& task,
                                                         std::string_view own,
                                                         std::string_view application);

}  // namespace sluice::server
