#include "proxy/server/task_definition.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include "proxy/base/text.h"

namespace sluice::server {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& map, const char* key) {
  const auto at = map.find(key);
  return at != map.end() && at->is_string() ? at->get<std::string>() : std::string{};
}

// ECS takes some numbers as text ("cpu": "256").
std::optional<double> number_of(const Json& map, const char* key) {
  const auto at = map.find(key);
  if (at == map.end()) return std::nullopt;
  if (at->is_number()) return at->get<double>();
  if (!at->is_string()) return std::nullopt;
  const auto whole = parse_decimal(at->get<std::string>());
  return whole ? std::optional<double>(static_cast<double>(*whole)) : std::nullopt;
}

template <typename Take>
void each(const Json& map, const char* key, const Take& take) {
  const auto list = map.find(key);
  if (list == map.end() || !list->is_array()) return;
  for (const Json& item : *list) take(item);
}

void append_texts(const Json& map, const char* key, std::vector<std::string>& into) {
  each(map, key, [&into](const Json& item) {
    if (item.is_string()) into.push_back(item.get<std::string>());
  });
}

ContainerDefinition container_of(const Json& map) {
  ContainerDefinition made;
  made.name = text_of(map, "name");
  made.image = text_of(map, "image");
  made.user = text_of(map, "user");
  append_texts(map, "entryPoint", made.command);
  append_texts(map, "command", made.command);
  each(map, "environment", [&made](const Json& item) {
    if (item.is_object())
      made.environment.emplace_back(text_of(item, "name"), text_of(item, "value"));
  });
  if (const auto check = map.find("healthCheck"); check != map.end() && check->is_object()) {
    append_texts(*check, "command", made.health_check);
  }
  each(map, "dependsOn", [&made](const Json& item) {
    if (!item.is_object()) return;
    made.depends_on.push_back({text_of(item, "containerName"), text_of(item, "condition")});
  });
  if (const auto seconds = number_of(map, "stopTimeout")) {
    made.stop_timeout = std::chrono::seconds(static_cast<int64_t>(*seconds));
  }
  each(map, "ulimits", [&made](const Json& item) {
    if (!item.is_object() || text_of(item, "name") != "nofile") return;
    if (const auto soft = number_of(item, "softLimit")) {
      made.open_files = static_cast<uint64_t>(*soft);
    }
  });
  const auto read_only = map.find("readonlyRootFilesystem");
  made.read_only = read_only != map.end() && read_only->is_boolean() && read_only->get<bool>();
  return made;
}

}  // namespace

bool ContainerDefinition::depends_on_container(std::string_view other) const {
  return std::any_of(depends_on.begin(), depends_on.end(),
                     [other](const Dependency& d) { return d.container == other; });
}

const ContainerDefinition* TaskDefinition::find(std::string_view name) const {
  const auto at = std::find_if(containers.begin(), containers.end(),
                               [name](const auto& container) { return container.name == name; });
  return at == containers.end() ? nullptr : &*at;
}

Result<TaskDefinition> parse_task_definition(std::string_view json) {
  const Json document = Json::parse(json, nullptr, false);
  if (!document.is_object()) {
    return fail(ErrorCode::kMalformed, Side::kUs, "the task definition is no JSON object");
  }
  // describe-task-definition wraps it.
  const auto inner = document.find("taskDefinition");
  const Json& task = inner != document.end() && inner->is_object() ? *inner : document;
  TaskDefinition made;
  if (const auto units = number_of(task, "cpu")) made.cpu = *units / 1024;
  each(task, "containerDefinitions", [&made](const Json& item) {
    if (item.is_object()) made.containers.push_back(container_of(item));
  });
  if (made.containers.empty()) {
    return fail(ErrorCode::kInvalid, Side::kUs, "the task definition names no containers");
  }
  return made;
}

}  // namespace sluice::server
