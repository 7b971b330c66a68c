// The orders of a running process: signals, the admin socket.
#include <csignal>
#include <utility>

#include <unistd.h>
#include <nlohmann/json.hpp>

#include "proxy/config/dump.h"
#include "proxy/server/endpoint_orders.h"
#include "proxy/server/process.h"

namespace sluice::server {
namespace {

ControlReply verdict_reply(bool well, std::string text) {
  return {well ? 200 : 422, std::move(text) + "\n"};
}

}  // namespace

// Signalled ourselves. Supervised, a stop only counts once: a terminal or a service manager signals
// both processes, and the supervisor passes it on.
void Process::on_signal(int number) {
  const bool ends = number == SIGTERM || number == SIGQUIT || number == SIGINT;
  if (!lifeline_.is_supervised() || !ends) return on_order(number);
  if (drain_.stage() == Drain::Stage::kServing && !succession_->is_retiring()) begin_drain();
}

void Process::on_order(int signal) {
  switch (signal) {
    case SIGHUP: return reload("signal", [](bool, const std::string&) {});
    case SIGUSR1: return reopen_logs();
    case SIGUSR2: return upgrade([](bool, const std::string&) {});
    default: break;
  }
  const bool first = !std::exchange(told_to_stop_, true);
  const bool draining = drain_.stage() != Drain::Stage::kServing;
  if (lifeline_.is_supervised() && first && draining) return;  // on_signal() was quicker
  begin_drain();
}

void Process::on_orphaned() {
  if (drain_.stage() == Drain::Stage::kServing && !succession_->is_retiring()) begin_drain();
}

// Usually nothing is left to cut.
void Process::on_succeeded() {
  end_drain();
}

void Process::upgrade(const Verdict& verdict) {
  if (drain_.stage() != Drain::Stage::kServing) return verdict(false, "the process is draining");
  if (reloading_) return verdict(false, "a reload is under way");
  succession_->upgrade(verdict);
}

void Process::handle_order(std::string_view method, std::string_view path,
                           const ControlAnswer& answer) {
  const bool get = method == "GET" || method == "HEAD";
  if (path == "/status" && get) return answer({200, status() + "\n", "application/json"});
  if (path == "/config" && get) {
    return answer({200, config::dump(*snapshot_->config), "application/yaml"});
  }
  if (method != "POST") return handle_read(method, path, answer);
  if (path == "/reload") {
    return reload("order", [answer](bool well, std::string text) {
      answer(verdict_reply(well, std::move(text)));
    });
  }
  if (path == "/upgrade") {
    return upgrade(
        [answer](bool well, std::string text) { answer(verdict_reply(well, std::move(text))); });
  }
  if (path == "/drain") {
    begin_drain();
    return answer(verdict_reply(true, "draining"));
  }
  if (path == "/drain/wait") return await_drain(answer);
  if (path == "/undrain") {
    const bool well = cancel_drain();
    return answer(verdict_reply(well, well ? "serving" : "too late: listeners are being closed"));
  }
  if (path == "/reopen") {
    reopen_logs();
    return answer(verdict_reply(true, "logs reopened"));
  }
  if (path.starts_with("/upstreams/")) return answer(order_endpoints(*directory_, path));
  answer({404, "no such order\n"});
}

void Process::handle_read(std::string_view method, std::string_view path,
                          const ControlAnswer& answer) {
  if (method != "GET" && method != "HEAD") return answer({405, "reads only\n"});
  if (path == "/metrics")
    return answer({200, metrics_->render(), "text/plain; version=0.0.4; charset=utf-8"});
  if (path == "/live") return answer({200, "ok\n"});
  if (path == "/ready") {
    return readiness_.ask() ? answer({200, "ok\n"}) : answer({503, unready_reason() + "\n"});
  }
  answer({404, "/metrics, /live or /ready\n"});
}

std::string Process::unready_reason() const {
  if (readiness_.draining) return "draining";
  return readiness_.accepting ? judge_->reason() : "starting";
}

std::string Process::status() const {
  const observe::MetricTotals totals = metrics_->totals();
  nlohmann::json out;
  out["version"] = options_.version;
  out["pid"] = lifeline_.signal_pid();
  out["serving_pid"] = getpid();
  out["uptime_seconds"] = static_cast<int64_t>(seconds(steady_now() - began_));
  out["state"] = succession_->is_retiring() ? "retiring" : name_of(drain_.stage());
  out["ready"] = readiness_.is_ready();
  out["workers"] = workers_.size();
  out["config"] = {{"file", options_.config_file.empty() ? "(flags)" : options_.config_file},
                   {"hash", snapshot_->config->hash},
                   {"generation", snapshot_->number},
                   {"generations", reloads_->generations()},
                   {"last_reload", nlohmann::json::parse(reloads_->json())}};
  out["requests"] = totals.requests;
  out["in_flight"] = totals.in_flight;
  out["connections"] = connections_.open.load();
  out["held"] = totals.held;
  out["listeners"] = nlohmann::json::array();
  for (const auto& listener : listeners_->all()) {
    out["listeners"].push_back({{"address", listener->bound},
                                {"name", listener->name},
                                {"connections", listener->open.load()}});
  }
  out["leaving_listeners"] = nlohmann::json::array();
  for (size_t i = 0; i < departures_->count(); ++i) {
    const ListenerShared& listener = *departures_->listener(i);
    out["leaving_listeners"].push_back(
        {{"address", listener.bound}, {"connections", listener.open.load()}});
  }
  out["upstreams"] = describe_upstreams(*directory_, *metrics_);
  return out.dump();
}

void Process::reopen_logs() {
  for (const Status& status : {access_log_->reopen(), log_->reopen()}) {
    if (!status) log_->error("reopen logs: " + status.error().detail);
  }
}

}  // namespace sluice::server
