// A reload is all or nothing (DESIGN, law 8): everything that can fail comes before the first
// change.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "proxy/server/process.h"
#include "proxy/server/settings.h"

namespace sluice::server {
namespace {

constexpr size_t kMostWaiting = 64;

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += (all.empty() ? "" : "\n") + line;
  return all;
}

void append(std::vector<std::string>& to, const std::vector<std::string>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// What only a start can change, and did change.
std::vector<std::string> needs_restart(const config::Config& now, const config::Config& next) {
  std::vector<std::string> keys;
  if (now.workers != next.workers) keys.push_back("workers");
  if (now.metrics.buckets != next.metrics.buckets) keys.push_back("metrics.buckets");
  if (now.limits.memory != next.limits.memory) keys.push_back("limits.memory");
  if (now.limits.clients != next.limits.clients) keys.push_back("limits.clients");
  if (now.access_log.buffer != next.access_log.buffer) keys.push_back("access_log.buffer");
  return keys;
}

}  // namespace

void Process::refuse_reload(std::string_view cause, std::vector<std::string> reasons,
                            const Verdict& verdict) {
  const std::string why = joined(reasons);
  lifeline_.say(Word::kReady);
  metrics_->reloaded(false);
  for (const std::string& reason : reasons) {
    log_->error("reload refused, nothing has changed: " + reason);
  }
  reloads_->refused(cause, std::move(reasons));
  verdict(false, why);
}

// `cause` is static text.
void Process::reload(std::string_view cause, const Verdict& verdict) {
  if (drain_.stage() != Drain::Stage::kServing) {
    return refuse_reload(cause, {"the process is draining"}, verdict);
  }
  if (succession_->is_retiring()) return refuse_reload(cause, {"a successor serves"}, verdict);
  lifeline_.say(Word::kReloading);
  // An address that workers are just letting go can be had a moment later.
  if (reloading_ || departures_->is_closing()) {
    if (waiting_.size() >= kMostWaiting) {
      return refuse_reload(cause, {"too many reloads wait already"}, verdict);
    }
    waiting_.push_back({cause, verdict});
    return;
  }
  if (!source_.has_file()) {
    return refuse_reload(cause, {"there is no configuration file to read"}, verdict);
  }
  take_configuration(source_.load(cause), cause, verdict);
}

// A drain has the last word; nobody waits for this one's.
void Process::on_source_changed(std::string_view cause, std::function<void(bool)> done) {
  if (drain_.stage() != Drain::Stage::kServing || succession_->is_retiring()) return done(false);
  reload(cause, [done = std::move(done)](bool well, const std::string&) { done(well); });
}

void Process::reload_waiting() {
  if (waiting_.empty() || reloading_ || departures_->is_closing()) return;
  const WaitingReload next = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  reload(next.cause, next.verdict);
  loop_->post([this] { reload_waiting(); });
}

void Process::take_configuration(const config::Loaded& loaded, std::string_view cause,
                                 const Verdict& verdict) {
  if (loaded.config == nullptr) {
    source_.refuse(loaded);
    return refuse_reload(cause, loaded.faults, verdict);
  }
  const config::Config& config = *loaded.config;
  std::vector<std::string> faults = obstacles(config);
  config::Faults unbuilt;
  auto next = exchange::build_snapshot(loaded.config, filters_, *metrics_, snapshot_.get(), unbuilt,
                                       directory_.get());
  auto secured = tls_->prepare(config.listeners, unbuilt);
  append(faults, unbuilt.lines());
  auto controls = controls_->prepare(config);
  if (!controls) faults.push_back(controls.error().detail);
  auto orders = listeners_->prepare(config.listeners);
  if (!orders) faults.push_back(orders.error().detail);
  if (faults.empty()) {
    if (const auto applied = apply_logs(config); !applied) faults.push_back(applied.error().detail);
  }
  if (!faults.empty()) {
    if (orders) listeners_->discard(*orders);
    if (controls) controls_->discard(*controls);
    source_.refuse(loaded);
    return refuse_reload(cause, std::move(faults), verdict);
  }
  furnish(*orders, secured);
  apply_rest(config, std::move(*controls));
  source_.adopt(loaded);
  tls_->adopt(std::move(secured));
  for (const std::string& note : loaded.notes) log_->warning(note);
  install(reloads_->count(std::move(next)), *orders, cause, verdict);
}

// What can be seen to fail before anything is tried.
std::vector<std::string> Process::obstacles(const config::Config& config) const {
  const config::Config& now = *snapshot_->config;
  std::vector<std::string> found;
  const auto look = [&found](const Status& status) {
    if (!status) found.push_back(status.error().detail);
  };
  if (config.log.path != now.log.path) look(observe::LogFile::probe(config.log.path));
  const bool logs = config.access_log.format != config::LogFormat::kOff;
  if (logs && (config.access_log.path != now.access_log.path ||
               now.access_log.format == config::LogFormat::kOff)) {
    look(observe::LogFile::probe(config.access_log.path));
  }
  if (config.spill_folder != now.spill_folder &&
      ::access(config.spill_folder.c_str(), W_OK | X_OK) != 0) {
    look(fail_errno(errno, Side::kUs, "spill.folder " + config.spill_folder));
  }
  return found;
}

// Both logs, or neither.
Status Process::apply_logs(const config::Config& config) {
  if (const auto applied = log_->apply(process_log_options(config.log)); !applied) return applied;
  const auto applied = access_log_->apply(access_log_options(config.access_log));
  if (!applied) static_cast<void>(log_->apply(process_log_options(snapshot_->config->log)));
  return applied;
}

// What cannot fail any more.
void Process::apply_rest(const config::Config& config, ControlPlane::Prepared&& controls) {
  controls_->adopt(std::move(controls));
  spill_->set_ceiling(config.limits.spill.count);
  spill_->set_folder(config.spill_folder);
  connections_.ceiling = connection_ceiling(config);
  in_flight_.set(config.limits.in_flight);
  for (const std::string& key : needs_restart(*snapshot_->config, config)) {
    log_->warning(key + ": changes with the next start only");
  }
  if (config.ecs != snapshot_->config->ecs) watch_task(config);
}

// Sockets that go are on their own way from here (server/departures).
void Process::install(std::shared_ptr<const exchange::Snapshot> next,
                      const std::vector<ListenerOrder>& orders, std::string_view cause,
                      const Verdict& verdict) {
  reloading_ = true;
  resolver_->apply(next->config->resolver);
  judge_->adopt(*next->config);
  directory_->adopt(next->upstreams, next->config->resolver);
  listeners_->adopt(orders);
  auto left = std::make_shared<size_t>(workers_.size());
  const auto finish = [this, next, left, cause, verdict] {
    if (--*left == 0) on_installed(next, cause, verdict);
  };
  for (const auto& worker : workers_) {
    worker->install(next, orders, [this, finish] { loop_->post(finish); });
  }
}

void Process::on_installed(const std::shared_ptr<const exchange::Snapshot>& next,
                           std::string_view cause, const Verdict& verdict) {
  reloading_ = false;
  const bool first = snapshot_ == next;
  snapshot_ = next;
  directory_->on_installed(next->upstreams);
  metrics_->set_config(next->config->hash, next->number);
  const std::string text =
      "configuration " + std::to_string(next->number) + " (" + next->config->hash + ") is in force";
  if (!first) {
    metrics_->reloaded(true);
    reloads_->succeeded(cause);
    lifeline_.say(Word::kReady);
    log_->info(text);
  }
  verdict(true, text);
  reload_waiting();
}

}  // namespace sluice::server
