// Task: the ECS task this process runs in, as far as it is told: who it is (sluice_task_info), what
// it may use, and whether the application is stopped before sluice, which loses requests and is
// said in one line with its remedy. Outside ECS only the last, by what the endpoints do. Owned by
// Process; control thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "proxy/observe/metrics.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/task_watch.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::server {

class Task final : private TaskWatchEvents {
 public:
  // Asks the agent, when there is one and `config` wants it: half a second at most. Requires: both
  // outlive it.
  Task(const config::Ecs& config, observe::Metrics& metrics, observe::ProcessLog& log);

  // vCPUs; nullopt: not told.
  std::optional<double> cpus() const { return cpus_; }
  // Looks at the task from now on. `refuse_traffic`: the application is about to go.
  void watch(event::Loop& loop, const config::Ecs& config, std::function<void()> refuse_traffic);
  // An endpoint went away while this process was draining.
  void on_gone_while_draining(const std::string& upstream, const upstream::Endpoint& endpoint);

 private:
  void on_application_stopping(const std::string& container) override;
  void say_order(const std::string& what);

  observe::ProcessLog& log_;
  std::optional<FetchRequest> endpoint_;  // nullopt: not in ECS
  std::optional<double> cpus_;
  std::function<void()> refuse_traffic_;
  // Read by the metrics, which outlive us. Once at most: the first sign says it all.
  const std::shared_ptr<std::atomic<uint64_t>> stopped_first_;
  std::unique_ptr<TaskWatch> watch_;
};

}  // namespace sluice::server
