// The orders of a running process: signals, the admin socket, reloads, the stages of a drain.
#include <csignal>
#include <memory>
#include <utility>

#include <unistd.h>
#include <nlohmann/json.hpp>

#include "proxy/server/process.h"
#include "proxy/server/settings.h"

namespace sluice::server {
namespace {

constexpr Duration kDrainBeat = std::chrono::milliseconds(20);
// After new SYNs are held, handshakes under way still complete.
constexpr Duration kLastHandshakes = std::chrono::milliseconds(200);

ControlReply verdict_reply(bool well, std::string text) {
  return {well ? 200 : 422, std::move(text) + "\n"};
}

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += (all.empty() ? "" : "\n") + line;
  return all;
}

std::string_view name_of(Drain::Stage stage) {
  switch (stage) {
    case Drain::Stage::kServing: return "serving";
    case Drain::Stage::kAnnouncing: return "announcing";
    case Drain::Stage::kEmptying: return "emptying";
    case Drain::Stage::kFinishing: return "finishing";
    case Drain::Stage::kOver: return "over";
  }
  return "unknown";
}

}  // namespace

void Process::on_signal(int number) {
  switch (number) {
    case SIGHUP: reload([](bool, const std::string&) {}); return;
    case SIGUSR1: return reopen_logs();
    case SIGUSR2: return log_->warning("SIGUSR2: this version cannot upgrade in place");
    default: return begin_drain();
  }
}

void Process::handle_order(std::string_view method, std::string_view path,
                           const ControlAnswer& answer) {
  const bool get = method == "GET" || method == "HEAD";
  if (path == "/status" && get) return answer({200, status() + "\n", "application/json"});
  if (method != "POST") return handle_read(method, path, answer);
  if (path == "/reload") {
    return reload(
        [answer](bool well, std::string text) { answer(verdict_reply(well, std::move(text))); });
  }
  if (path == "/drain") {
    begin_drain();
    return answer(verdict_reply(true, "draining"));
  }
  if (path == "/undrain") {
    const bool well = cancel_drain();
    return answer(verdict_reply(well, well ? "serving" : "too late: listeners are being closed"));
  }
  if (path == "/reopen") {
    reopen_logs();
    return answer(verdict_reply(true, "logs reopened"));
  }
  answer({404, "no such order\n"});
}

void Process::handle_read(std::string_view method, std::string_view path,
                          const ControlAnswer& answer) {
  if (method != "GET" && method != "HEAD") return answer({405, "reads only\n"});
  if (path == "/metrics")
    return answer({200, metrics_->render(), "text/plain; version=0.0.4; charset=utf-8"});
  if (path == "/live") return answer({200, "ok\n"});
  if (path == "/ready") {
    return readiness_.is_ready() ? answer({200, "ok\n"}) : answer({503, "draining\n"});
  }
  answer({404, "/metrics, /live or /ready\n"});
}

std::string Process::status() const {
  const observe::MetricTotals totals = metrics_->totals();
  nlohmann::json out;
  out["version"] = options_.version;
  out["pid"] = getpid();
  out["uptime_seconds"] = static_cast<int64_t>(seconds(steady_now() - began_));
  out["state"] = name_of(drain_.stage());
  out["ready"] = readiness_.is_ready();
  out["workers"] = workers_.size();
  out["config"] = {{"file", options_.config_file.empty() ? "(flags)" : options_.config_file},
                   {"hash", snapshot_->config->hash},
                   {"generation", snapshot_->number}};
  out["requests"] = totals.requests;
  out["in_flight"] = totals.in_flight;
  out["connections"] = connections_.open.load();
  out["held"] = totals.held;
  out["listeners"] = nlohmann::json::array();
  for (const auto& listener : listeners_->all()) {
    out["listeners"].push_back(
        {{"address", listener->socket.local().text()}, {"connections", listener->open.load()}});
  }
  out["upstreams"] = nlohmann::json::array();
  for (const auto& upstream : snapshot_->upstreams) {
    nlohmann::json endpoints = nlohmann::json::array();
    for (const auto& endpoint : upstream.endpoints)
      endpoints.push_back({{"address", endpoint->name()}});
    const bool uwsgi = upstream.config.protocol == config::Protocol::kUwsgi;
    out["upstreams"].push_back({{"name", upstream.config.name},
                                {"protocol", uwsgi ? "uwsgi" : "http1"},
                                {"endpoints", endpoints}});
  }
  return out.dump();
}

// ---- reload (DESIGN, law 8) ----

void Process::refuse_reload(const std::string& why, const Verdict& verdict) {
  metrics_->reloaded(false);
  log_->error("reload refused, nothing has changed: " + why);
  verdict(false, why);
}

void Process::reload(const Verdict& verdict) {
  if (reloading_ || drain_.stage() != Drain::Stage::kServing) {
    return refuse_reload(reloading_ ? "another reload is under way" : "the process is draining",
                         verdict);
  }
  if (options_.config_file.empty())
    return refuse_reload("there is no configuration file to read", verdict);
  const config::Loaded loaded = load();
  if (loaded.config == nullptr) return refuse_reload(joined(loaded.faults), verdict);
  config::Faults faults;
  auto next = exchange::build_snapshot(loaded.config, filters_, *metrics_, snapshot_.get(), faults);
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
  auto gone =
      std::make_shared<std::vector<std::shared_ptr<ListenerShared>>>(listeners_->adopt(orders));
  for (const auto& listener : *gone) static_cast<void>(listener->socket.hold_new_connections());
  auto left = std::make_shared<size_t>(workers_.size());
  const auto finish = [this, next, gone, left, verdict] {
    if (--*left > 0) return;
    reloading_ = false;
    const bool first = snapshot_ == next;
    snapshot_ = next;
    metrics_->set_config(next->config->hash, next->number);
    if (!first) {
      metrics_->reloaded(true);
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

void Process::reopen_logs() {
  for (const Status& status : {access_log_->reopen(), log_->reopen()}) {
    if (!status) log_->error("reopen logs: " + status.error().detail);
  }
}

// ---- drain (DESIGN, law 2) ----

void Process::begin_drain() {
  if (drain_.stage() != Drain::Stage::kServing) {
    log_->info("told again to stop: no more waiting");
    drain_.hurry();
    return advance_drain();
  }
  readiness_.draining = true;
  drain_.begin(steady_now(), snapshot_->config->drain, metrics_->totals().requests);
  enter_stage(Drain::Stage::kAnnouncing);
  advance_drain();
}

bool Process::cancel_drain() {
  if (!drain_.cancel()) return false;
  drain_beat_->cancel();
  readiness_.draining = false;
  for (const auto& worker : workers_) worker->announce_drain(false);
  metrics_->set_drain_state(observe::DrainState::kServing);
  log_->info("serving again");
  return true;
}

void Process::on_timer(event::Timer&) {
  advance_drain();
}

void Process::advance_drain() {
  const Drain::Stage before = drain_.stage();
  const Drain::Evidence evidence{metrics_->totals().requests, connections_.open.load(),
                                 still_accepting_ == 0};
  const Drain::Stage now = drain_.advance(steady_now(), evidence);
  if (now != before) enter_stage(now);
  if (now == Drain::Stage::kEmptying) {
    for (const auto& worker : workers_) worker->accept_queues();
  }
  if (now == Drain::Stage::kFinishing && drain_.hurried()) {
    for (const auto& worker : workers_) worker->close_idle();
  }
  if (now == Drain::Stage::kOver) return loop_->stop();
  drain_beat_->arm(kDrainBeat);
}

void Process::enter_stage(Drain::Stage stage) {
  const bool waits = stage == Drain::Stage::kAnnouncing;
  log_->info("drain: " + std::string(name_of(stage)) + ", " +
             std::to_string(connections_.open.load()) + " connections open" +
             (waits ? "; a second signal skips the waiting" : ""));
  switch (stage) {
    case Drain::Stage::kAnnouncing:
      metrics_->set_drain_state(observe::DrainState::kAnnouncing);
      for (const auto& worker : workers_) worker->announce_drain(true);
      break;
    case Drain::Stage::kEmptying: listeners_->hold_new_connections(*log_); break;
    case Drain::Stage::kFinishing:
      metrics_->set_drain_state(observe::DrainState::kFinishing);
      for (const auto& worker : workers_) {
        worker->stop_accepting([this] { loop_->post([this] { --still_accepting_; }); });
      }
      break;
    case Drain::Stage::kOver:
    case Drain::Stage::kServing: break;
  }
}

}  // namespace sluice::server
