#include "proxy/server/task.h"

#include <array>
#include <utility>

namespace sluice::server {
namespace {

// In this task's network namespace: beside us, not another task.
bool is_beside(const net::SocketAddress& address) {
  const net::IpPort its = address.ip_port();
  const std::array<uint8_t, 16> loopback6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return address.is_unix() || its.ip == loopback6 || (its.is_v4() && its.ip[12] == 127);
}

}  // namespace

Task::Task(const config::Ecs& config, observe::Metrics& metrics, observe::ProcessLog& log)
    : log_(log), stopped_first_(std::make_shared<std::atomic<uint64_t>>(0)) {
  metrics.read_counter("application_stopped_first_total",
                       "Stops of the application before sluice had drained.",
                       [count = stopped_first_] { return static_cast<double>(count->load()); });
  if (config.metadata) endpoint_ = task_endpoint();
  if (!endpoint_) return;
  const auto told = read_task_at_start(*endpoint_);
  if (!told) {
    log_.warning("the task metadata endpoint did not answer; going on without it");
    return;
  }
  cpus_ = told->cpu;
  metrics.set_info("task_info", "The ECS task.",
                   {{"task", told->arn},
                    {"family", told->family},
                    {"revision", told->revision},
                    {"service", told->service},
                    {"zone", told->zone}});
}

void Task::watch(event::Loop& loop, const config::Ecs& config,
                 std::function<void()> refuse_traffic) {
  watch_.reset();
  if (!endpoint_ || !config.metadata) return;
  refuse_traffic_ = std::move(refuse_traffic);
  TaskWatchEvents& events = *this;
  watch_ = std::make_unique<TaskWatch>(loop, config, *endpoint_, events);
}

void Task::on_application_stopping(const std::string& container) {
  say_order("ECS stops container " + container + " while sluice still serves");
  refuse_traffic_();
}

void Task::on_gone_while_draining(const std::string& upstream, const upstream::Endpoint& endpoint) {
  if (!is_beside(endpoint.address())) return;
  say_order("upstream " + upstream + " " + endpoint.name() +
            " has gone before this drain was over");
}

void Task::say_order(const std::string& what) {
  if (stopped_first_->exchange(1) > 0) return;
  log_.error(what + ": the application is stopped too early. Let sluice's container have " +
             "dependsOn the application's, condition START: then ECS stops it only after sluice");
}

}  // namespace sluice::server
