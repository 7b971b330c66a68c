// TaskWatch: looks at the ECS task's metadata, once at start (what limits the task has, who it is)
// and rarely afterwards: whether ECS has begun to stop the application. Nothing happens where
// $ECS_CONTAINER_METADATA_URI_V4 is not set. Owned by Process; the control thread only.
//
// ECS tells a container that it is to stop by its signal alone. With `dependsOn` the right way
// round sluice is signalled first and the application only after it has exited. The other way round
// the application goes while sluice still serves: DesiredStatus says so a moment before, and then
// its listener vanishes. Both are said in one line, with the remedy.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "proxy/config/config.h"
#include "proxy/event/loop.h"
#include "proxy/server/fetch.h"
#include "proxy/server/task_metadata.h"

namespace sluice::server {

class TaskWatchEvents {
 public:
  // ECS wants the application's container stopped, while this process has not been told to stop.
  virtual void on_application_stopping(const std::string& container) = 0;

 protected:
  ~TaskWatchEvents() = default;
};

// What the environment says; nullopt: not in ECS, or the address cannot be used.
std::optional<FetchRequest> task_endpoint();

// Asks and waits, before the loop runs. An agent that does not answer in half a second costs that.
std::optional<TaskMetadata> read_task_at_start(const FetchRequest& endpoint);

class TaskWatch final : private event::TimerEvents {
 public:
  // `events` outlives it.
  TaskWatch(event::Loop& loop, const config::Ecs& config, FetchRequest endpoint,
            TaskWatchEvents& events);

 private:
  void on_timer(event::Timer& timer) override;
  void on_own(Result<FetchAnswer> answer);
  void on_task(Result<FetchAnswer> answer);
  void look(const TaskMetadata& task);
  void look_again();

  event::Loop& loop_;
  const config::Ecs config_;
  const FetchRequest endpoint_;
  TaskWatchEvents& events_;
  std::string own_;  // our container's name; empty: not known yet
  bool told_ = false;
  std::unique_ptr<Fetch> fetch_;
  event::Timer timer_;
};

}  // namespace sluice::server
