#include "proxy/server/doctor.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "proxy/config/units.h"

namespace sluice::server {
namespace {

using std::chrono::seconds;
using Weight = Finding::Weight;

constexpr Duration kDefaultStopTimeout = seconds(30);
// Between our last word and SIGKILL: logs are written, sockets closed.
constexpr Duration kStopMargin = seconds(2);
constexpr Duration kSpotNotice = seconds(120);
constexpr uint32_t kUwsgiRoomy = 16384;  // an ALB passes on a request line of 16 KiB

struct Report {
  std::vector<Finding> findings;
  void add(Weight weight, std::string what, std::string remedy) {
    findings.push_back({weight, std::move(what), std::move(remedy)});
  }
};

// -- between balancer and sluice --

void examine_listener(const config::Listener& listener, const Surroundings& around,
                      Report& report) {
  const std::string name = "listener " + listener.address.text;
  const auto& idle = listener.timeouts.idle;
  if (idle <= around.balancer_idle) {
    report.add(Weight::kFault,
               fmt::format("{} closes idle connections after {}, the balancer only after {}: its "
                           "next request meets a closed connection (502)",
                           name, config::format_duration(idle),
                           config::format_duration(around.balancer_idle)),
               fmt::format("set listeners[].timeouts.idle to {} or more",
                           config::format_duration(around.balancer_idle + seconds(15))));
  }
  if (around.task && listener.trusted_proxies.empty() && !listener.address.is_unix) {
    report.add(Weight::kWarning,
               name +
                   " trusts no proxy: the application sees the balancer's address as the "
                   "client's, and http where the client used https",
               "set listeners[].trusted_proxies to the networks of the balancer's subnets");
  }
  if (around.somaxconn > 0 && listener.backlog > around.somaxconn) {
    report.add(Weight::kNote,
               fmt::format("{} asks for a backlog of {}, the kernel allows {}", name,
                           listener.backlog, around.somaxconn),
               "set the sysctl net.core.somaxconn of the task, or leave it");
  }
}

void examine_drain(const config::Config& config, const Surroundings& around, Report& report) {
  const config::Drain& drain = config.drain;
  const ContainerDefinition* own = around.task ? around.task->find(around.container) : nullptr;
  const Duration stop =
      own != nullptr && own->stop_timeout ? *own->stop_timeout : kDefaultStopTimeout;
  if (own != nullptr && drain.deadline + kStopMargin > stop) {
    report.add(Weight::kFault,
               fmt::format("drain.deadline is {}, but ECS kills container {} after {}",
                           config::format_duration(drain.deadline), own->name,
                           config::format_duration(stop)),
               fmt::format("set its stopTimeout to {}, or drain.deadline to {}",
                           config::format_duration(drain.deadline + kStopMargin),
                           config::format_duration(stop - kStopMargin)));
  }
  if (drain.max >= drain.deadline) {
    report.add(
        Weight::kWarning,
        fmt::format("drain.max ({}) leaves running requests no time before drain.deadline "
                    "({})",
                    config::format_duration(drain.max), config::format_duration(drain.deadline)),
        "set drain.max some seconds below drain.deadline");
  }
  if (!around.deregistration_delay) return;
  const Duration delay = *around.deregistration_delay;
  if (delay < drain.min) {
    report.add(Weight::kWarning,
               fmt::format("the deregistration delay ({}) is shorter than drain.min ({}): requests "
                           "still come when ECS sends its signal",
                           config::format_duration(delay), config::format_duration(drain.min)),
               fmt::format("set deregistration_delay.timeout_seconds to {} or more",
                           config::format_duration(std::max<Duration>(drain.min, seconds(10)))));
  } else if (delay > kSpotNotice) {
    report.add(
        Weight::kNote,
        fmt::format("the deregistration delay is {}: with connections kept alive each task "
                    "of a deployment waits that long",
                    config::format_duration(delay)),
        "set deregistration_delay.timeout_seconds to a little more than the longest request");
  }
}

void examine_readiness(const config::Config& config, Report& report) {
  const bool has_route =
      std::any_of(config.routes.begin(), config.routes.end(), [](const config::Route& route) {
        return route.action == config::Action::kRespond &&
               route.respond.health == config::Health::kReady;
      });
  if (has_route) return;
  report.add(
      Weight::kWarning, "no route answers the balancer's health check with readiness",
      "add the route { path: /healthz, respond: { health: ready } } and let the target group "
      "ask it");
}

// -- the task --

void examine_order(const TaskDefinition& task, const ContainerDefinition& own, Report& report) {
  for (const ContainerDefinition& other : task.containers) {
    if (&other == &own || !read_application_command(other.command)) continue;
    if (other.depends_on_container(own.name)) {
      report.add(
          Weight::kFault,
          fmt::format("container {} depends on {}: at a stop ECS ends {} first, while {} "
                      "still serves",
                      other.name, own.name, other.name, own.name),
          fmt::format("turn it round: {} dependsOn {}, condition START", own.name, other.name));
    } else if (!own.depends_on_container(other.name)) {
      report.add(Weight::kFault,
                 fmt::format("container {} does not depend on {}: at a stop ECS signals both at "
                             "once, and the application goes while requests still come",
                             own.name, other.name),
                 fmt::format("add to {}: dependsOn {}, condition START", own.name, other.name));
    }
  }
  for (const auto& dependency : own.depends_on) {
    if (dependency.condition != "HEALTHY") continue;
    report.add(Weight::kNote,
               fmt::format("container {} waits until {} is HEALTHY: that delays the start; sluice "
                           "holds requests and readiness by itself",
                           own.name, dependency.container),
               "use the condition START");
  }
}

void examine_container(const ContainerDefinition& own, Report& report) {
  if (own.health_check.empty()) {
    report.add(Weight::kWarning, fmt::format("container {} has no healthCheck", own.name),
               R"(set it to ["CMD", "/sluice", "healthcheck"])");
  } else if (own.health_check.front() == "CMD-SHELL") {
    report.add(
        Weight::kFault,
        fmt::format("the healthCheck of container {} needs a shell, which the image does not "
                    "have",
                    own.name),
        R"(set it to ["CMD", "/sluice", "healthcheck"])");
  }
  if (!own.read_only) {
    report.add(Weight::kNote, fmt::format("container {} has a writable root", own.name),
               "set readonlyRootFilesystem: true; only the spill folder has to be writable");
  }
  if (own.user == "root" || own.user == "0" || own.user.starts_with("0:")) {
    report.add(Weight::kWarning, fmt::format("container {} runs as root", own.name),
               "leave out user: the image has its own");
  }
}

void examine_task(const Surroundings& around, Report& report) {
  const TaskDefinition& task = *around.task;
  const ContainerDefinition* own = task.find(around.container);
  if (own == nullptr) {
    return report.add(Weight::kFault,
                      fmt::format("the task definition has no container {}", around.container),
                      "say which one is sluice: --container NAME");
  }
  examine_container(*own, report);
  examine_order(task, *own, report);
  Duration total = around.deregistration_delay.value_or(Duration{0});
  for (const ContainerDefinition& container : task.containers) {
    total += container.stop_timeout.value_or(kDefaultStopTimeout);
  }
  // A delay that is too long by itself has been said already.
  const bool delay_fits = around.deregistration_delay.value_or(Duration{0}) <= kSpotNotice;
  if (delay_fits && total > kSpotNotice) {
    report.add(
        Weight::kNote,
        fmt::format("deregistration delay and stopTimeouts add up to {}: more than the {} of "
                    "a Spot notice",
                    config::format_duration(total), config::format_duration(kSpotNotice)),
        "on Spot capacity keep their sum below it");
  }
}

// -- between sluice and the application --

void examine_stop(const ContainerDefinition& container, const ApplicationCommand& command,
                  Report& report) {
  if (command.server == ApplicationCommand::Server::kUwsgi && !command.dies_on_term &&
      !command.has_options_elsewhere) {
    report.add(Weight::kFault,
               fmt::format("uWSGI in container {} takes SIGTERM for a reload and is killed in the "
                           "end",
                           container.name),
               "give it --die-on-term");
  }
  if (command.shell_keeps_pid) {
    report.add(Weight::kWarning,
               fmt::format("a shell in container {} keeps the signal from the application",
                           container.name),
               "put exec in front of the server in that command");
  }
  const Duration stop = container.stop_timeout.value_or(kDefaultStopTimeout);
  if (command.graceful > Duration{0} && command.graceful >= stop) {
    report.add(
        Weight::kWarning,
        fmt::format("gunicorn in container {} gives running requests {}, ECS kills it after "
                    "{}",
                    container.name, config::format_duration(command.graceful),
                    config::format_duration(stop)),
        fmt::format("set --graceful-timeout below {}, or its stopTimeout above {}",
                    config::format_duration(stop), config::format_duration(command.graceful)));
  }
}

void examine_capacity(const config::Upstream& upstream, const ApplicationCommand& command,
                      Report& report) {
  const uint32_t places = command.workers * command.threads;
  const std::string key = "upstreams." + upstream.name + ".max_in_flight";
  if (upstream.max_in_flight == 0) {
    report.add(Weight::kWarning,
               fmt::format("{} is off: what the {} workers cannot take yet waits in the "
                           "application's backlog, and is lost with it at a restart",
                           key, places),
               fmt::format("set {}: {}", key, places));
  } else if (upstream.max_in_flight > places) {
    report.add(
        Weight::kWarning,
        fmt::format("{} is {}, the application has {} workers: the rest waits in its backlog", key,
                    upstream.max_in_flight, places),
        fmt::format("set {}: {}", key, places));
  } else if (upstream.max_in_flight < places) {
    report.add(Weight::kNote,
               fmt::format("{} is {}, so some of the {} workers never have work", key,
                           upstream.max_in_flight, places),
               fmt::format("set {}: {}", key, places));
  }
  if (command.backlog > 0 && upstream.max_in_flight > command.backlog) {
    report.add(Weight::kWarning,
               fmt::format("{} is above the application's backlog of {}", key, command.backlog),
               "raise the backlog, or lower it");
  }
}

void examine_patience(const config::Upstream& upstream, const ApplicationCommand& command,
                      Report& report) {
  const std::string name = "upstreams." + upstream.name;
  if (command.keeps_alive && upstream.pool.idle >= command.keep_alive) {
    report.add(Weight::kFault,
               fmt::format("{}.pool.idle is {}, the application closes idle connections after {}",
                           name, config::format_duration(upstream.pool.idle),
                           config::format_duration(command.keep_alive)),
               fmt::format("set {}.pool.idle to {} or less", name,
                           config::format_duration(command.keep_alive / 2)));
  }
  if (command.timeout > Duration{0} && upstream.timeouts.first_byte < command.timeout) {
    report.add(Weight::kWarning,
               fmt::format("{}.timeouts.first_byte is {}, the application itself allows {}: its "
                           "worker goes on for nobody",
                           name, config::format_duration(upstream.timeouts.first_byte),
                           config::format_duration(command.timeout)),
               fmt::format("set it to {} or more", config::format_duration(command.timeout)));
  }
  if (upstream.protocol == config::Protocol::kUwsgi && command.block_size > 0 &&
      command.block_size < kUwsgiRoomy && !command.has_options_elsewhere) {
    report.add(Weight::kWarning,
               fmt::format("uWSGI takes heads of {} bytes at most and closes without an answer on "
                           "larger ones (cookies!)",
                           command.block_size),
               "give it --buffer-size 32768");
  }
}

void examine_upstream(const config::Upstream& upstream, const Surroundings& around,
                      Report& report) {
  const std::string name = "upstreams." + upstream.name;
  if (upstream.hold.timeout >= around.balancer_idle) {
    report.add(Weight::kWarning,
               fmt::format("{}.hold.timeout is {}: the balancer gives up after {}", name,
                           config::format_duration(upstream.hold.timeout),
                           config::format_duration(around.balancer_idle)),
               fmt::format("set it below {}", config::format_duration(around.balancer_idle)));
  }
  if (upstream.timeouts.first_byte > around.balancer_idle) {
    report.add(Weight::kNote,
               fmt::format("{}.timeouts.first_byte is {}: the balancer answers 504 after {}", name,
                           config::format_duration(upstream.timeouts.first_byte),
                           config::format_duration(around.balancer_idle)),
               "raise the balancer's idle timeout for slow requests");
  }
  if (!around.task) return;
  for (const ContainerDefinition& container : around.task->containers) {
    const auto command = read_application_command(container.command);
    if (!command) continue;
    examine_stop(container, *command, report);
    if (!command->has_options_elsewhere) examine_capacity(upstream, *command, report);
    examine_patience(upstream, *command, report);
    return;  // which of several serves which upstream cannot be told
  }
}

// -- the machine --

void examine_machine(const config::Config& config, const Surroundings& around, Report& report) {
  uint64_t wanted = 0;
  for (const auto& listener : config.listeners) wanted += listener.limits.connections;
  if (config.limits.connections > 0) wanted = std::min<uint64_t>(wanted, config.limits.connections);
  const ContainerDefinition* own = around.task ? around.task->find(around.container) : nullptr;
  const uint64_t files = own != nullptr && own->open_files ? *own->open_files : around.open_files;
  // Each client may need a descriptor towards an upstream, too.
  if (files > 0 && wanted * 2 > files) {
    report.add(
        Weight::kNote,
        fmt::format("{} connections need {} descriptors, the limit is {}: sluice takes fewer "
                    "connections",
                    wanted, wanted * 2, files),
        fmt::format("raise ulimits nofile to {}, or lower limits.connections to {}",
                    wanted * 2 + 100, files / 2));
  }
  const double cpus =
      around.task && around.task->cpu ? *around.task->cpu : static_cast<double>(around.cpus);
  if (cpus > 0 && static_cast<double>(config.workers) > std::max(1.0, cpus)) {
    report.add(Weight::kWarning,
               fmt::format("workers is {}, but the task may use {:g} CPUs: they take each other's "
                           "time, and the application's",
                           config.workers, cpus),
               "set workers: auto");
  }
}

}  // namespace

std::vector<Finding> examine(const config::Config& config, const Surroundings& around) {
  Report report;
  for (const auto& listener : config.listeners) examine_listener(listener, around, report);
  examine_drain(config, around, report);
  examine_readiness(config, report);
  if (around.task) examine_task(around, report);
  for (const auto& upstream : config.upstreams) examine_upstream(upstream, around, report);
  examine_machine(config, around, report);
  std::stable_sort(report.findings.begin(), report.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.weight > b.weight; });
  return std::move(report.findings);
}

}  // namespace sluice::server
