#include "proxy/server/task_metadata.h"

#include <nlohmann/json.hpp>

namespace sluice::server {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& map, const char* key) {
  const auto at = map.find(key);
  return at != map.end() && at->is_string() ? at->get<std::string>() : std::string{};
}

const Json& part_of(const Json& map, const char* key) {
  static const Json nothing = Json::object();
  const auto at = map.find(key);
  return at != map.end() && at->is_object() ? *at : nothing;
}

TaskContainer container_of(const Json& map) {
  return {text_of(map, "Name"), text_of(map, "DesiredStatus"), text_of(map, "KnownStatus"),
          text_of(part_of(map, "Health"), "status")};
}

}  // namespace

Result<TaskMetadata> parse_task_metadata(std::string_view json) {
  const Json task = Json::parse(json, nullptr, false);
  if (!task.is_object()) {
    return fail(ErrorCode::kMalformed, Side::kUs, "the task metadata is no JSON object");
  }
  TaskMetadata into;
  into.arn = text_of(task, "TaskARN");
  into.family = text_of(task, "Family");
  into.revision = text_of(task, "Revision");
  into.service = text_of(task, "ServiceName");
  into.zone = text_of(task, "AvailabilityZone");
  into.desired = text_of(task, "DesiredStatus");
  const Json& limits = part_of(task, "Limits");
  const auto cpu = limits.find("CPU");
  if (cpu != limits.end() && cpu->is_number() && cpu->get<double>() > 0) {
    into.cpu = cpu->get<double>();
  }
  const auto containers = task.find("Containers");
  if (containers != task.end() && containers->is_array()) {
    for (const Json& container : *containers) {
      if (container.is_object()) into.containers.push_back(container_of(container));
    }
  }
  return into;
}

std::string container_name(std::string_view json) {
  const Json container = Json::parse(json, nullptr, false);
  return container.is_object() ? text_of(container, "Name") : std::string{};
}

std::vector<const TaskContainer*> application_containers(const TaskMetadata& task,
                                                         std::string_view own,
                                                         std::string_view application) {
  std::vector<const TaskContainer*> found;
  for (const TaskContainer& container : task.containers) {
    const bool wanted = application.empty() ? container.name != own : container.name == application;
    // ECS adds its own (the pause container of awsvpc): they say nothing of the application.
    if (wanted && !container.name.starts_with("~internal~")) found.push_back(&container);
  }
  return found;
}

}  // namespace sluice::server
