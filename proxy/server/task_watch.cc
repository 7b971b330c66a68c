#include "proxy/server/task_watch.h"

#include <cstdlib>
#include <utility>

#include "proxy/server/control_client.h"

namespace sluice::server {
namespace {

constexpr const char* kVariable = "ECS_CONTAINER_METADATA_URI_V4";
constexpr Duration kStartPatience = std::chrono::milliseconds(500);
constexpr Duration kPatience = std::chrono::seconds(2);
constexpr uint64_t kMostMetadata = 1024 * 1024;

FetchRequest task_request(const FetchRequest& endpoint) {
  FetchRequest request = endpoint;
  request.target += "/task";
  return request;
}

}  // namespace

std::optional<FetchRequest> task_endpoint() {
  const char* url = std::getenv(kVariable);
  if (url == nullptr || *url == '\0') return std::nullopt;
  auto request = fetch_of(url);
  if (!request) return std::nullopt;
  while (request->target.ends_with('/')) request->target.pop_back();
  request->timeout = kPatience;
  request->most = kMostMetadata;
  return *request;
}

std::optional<TaskMetadata> read_task_at_start(const FetchRequest& endpoint) {
  const FetchRequest request = task_request(endpoint);
  const auto answer = ask(request.address, "GET", request.target, kStartPatience);
  if (!answer || answer->status != 200) return std::nullopt;
  auto task = parse_task_metadata(answer->body);
  if (!task) return std::nullopt;
  return std::move(*task);
}

TaskWatch::TaskWatch(event::Loop& loop, const config::Ecs& config, FetchRequest endpoint,
                     TaskWatchEvents& events)
    : loop_(loop),
      config_(config),
      endpoint_(std::move(endpoint)),
      events_(events),
      timer_(loop.timers(), *this) {
  look_again();
}

void TaskWatch::look_again() {
  if (!told_) timer_.arm(config_.interval);
}

// Which container we are has to be known once; then the task is looked at.
void TaskWatch::on_timer(event::Timer&) {
  if (own_.empty() && config_.application.empty()) {
    FetchRequest request = endpoint_;
    if (request.target.empty()) request.target.push_back('/');
    fetch_ = std::make_unique<Fetch>(loop_, std::move(request), [this](Result<FetchAnswer> answer) {
      on_own(std::move(answer));
    });
  } else {
    fetch_ =
        std::make_unique<Fetch>(loop_, task_request(endpoint_),
                                [this](Result<FetchAnswer> answer) { on_task(std::move(answer)); });
  }
}

void TaskWatch::on_own(Result<FetchAnswer> answer) {
  if (answer && answer->status == 200) own_ = container_name(answer->body);
  if (own_.empty()) return look_again();
  timer_.arm(Duration{0});
}

void TaskWatch::on_task(Result<FetchAnswer> answer) {
  if (answer && answer->status == 200) {
    if (const auto task = parse_task_metadata(answer->body)) look(*task);
  }
  look_again();
}

void TaskWatch::look(const TaskMetadata& task) {
  for (const TaskContainer* container : application_containers(task, own_, config_.application)) {
    if (container->desired != "STOPPED") continue;
    told_ = true;
    return events_.on_application_stopping(container->name);
  }
}

}  // namespace sluice::server
