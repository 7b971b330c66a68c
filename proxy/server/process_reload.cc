// A reload is all or nothing (DESIGN, law 8): everything that can fail comes before the first change.
#include <memory>
#include <utility>

#include "proxy/server/process.h"
#include "proxy/server/settings.h"

namespace sluice::server {
namespace {

// After new SYNs are held, handshakes under way still complete.
constexpr Duration kLastHandshakes = std::chrono::milliseconds(200);

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += (all.empty() ? "" : "\n") + line;
  return all;
}

}  // namespace

void Process::refuse_reload(const std::string& why, const Verdict& verdict) {
  lifeline_.say(Word::kReady);
  metrics_->reloaded(false);
  log_->error("reload refused, nothing has changed: " + why);
  verdict(false, why);
}

void Process::reload(const Verdict& verdict) {
  if (reloading_ || drain_.stage() != Drain::Stage::kServing) {
    return refuse_reload(reloading_ ? "another reload is under way" : "the process is draining",
                         verdict);
  }
  if (succession_->is_retiring()) return refuse_reload("a successor serves", verdict);
  lifeline_.say(Word::kReloading);
  if (options_.config_file.empty())
    return refuse_reload("there is no configuration file to read", verdict);
  const config::Loaded loaded = load();
  if (loaded.config == nullptr) return refuse_reload(joined(loaded.faults), verdict);
  config::Faults faults;
  auto next = exchange::build_snapshot(loaded.config, filters_, *metrics_, snapshot_.get(), faults,
                                       directory_.get());
  if (next == nullptr) return refuse_reload(joined(faults.lines()), verdict);
  auto orders = listeners_->prepare(loaded.config->listeners);
  if (!orders) return refuse_reload(orders.error().detail, verdict);
  if (const auto applied = apply_logs(*loaded.config); !applied) {
    return refuse_reload(applied.error().detail, verdict);
  }
  auto controls = controls_->prepare(*loaded.config);
  if (!controls) {
    static_cast<void>(apply_logs(*snapshot_->config));
    return refuse_reload(controls.error().detail, verdict);
  }
  apply_rest(*loaded.config, std::move(*controls));
  for (const std::string& note : loaded.notes) log_->warning(note);
  install(std::move(next), std::move(*orders), verdict);
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
  if (worker_count(config) != workers_.size()) {
    log_->warning("workers: the number of workers changes with the next start only");
  }
}

// Sockets that go: first no new handshakes, then the workers take what is queued and let go.
void Process::install(std::shared_ptr<const exchange::Snapshot> next,
                      std::vector<ListenerOrder> orders, const Verdict& verdict) {
  reloading_ = true;
  resolver_->apply(next->config->resolver);
  judge_->adopt(*next->config);
  directory_->adopt(next->upstreams, next->config->resolver);
  auto gone =
      std::make_shared<std::vector<std::shared_ptr<ListenerShared>>>(listeners_->adopt(orders));
  for (const auto& listener : *gone) static_cast<void>(listener->socket.hold_new_connections());
  auto left = std::make_shared<size_t>(workers_.size());
  const auto finish = [this, next, gone, left, verdict] {
    if (--*left > 0) return;
    reloading_ = false;
    const bool first = snapshot_ == next;
    snapshot_ = next;
    directory_->on_installed(next->upstreams);
    metrics_->set_config(next->config->hash, next->number);
    if (!first) {
      metrics_->reloaded(true);
      lifeline_.say(Word::kReady);
      log_->info("configuration " + std::to_string(next->number) + " (" + next->config->hash +
                 ") is in force");
    }
    verdict(true, "configuration " + std::to_string(next->number) + " (" + next->config->hash +
                      ") is in force");
  };
  const auto order_workers = [this, next, orders = std::move(orders), finish] {
    for (const auto& worker : workers_) {
      worker->install(next, orders, [this, finish] { loop_->post(finish); });
    }
  };
  if (gone->empty()) return order_workers();
  later_ = std::make_unique<Later>(*loop_, kLastHandshakes, order_workers);
}

}  // namespace sluice::server
