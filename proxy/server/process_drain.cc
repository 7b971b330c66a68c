// What the stages of a drain do (DESIGN, law 2); when they come is server/drain's to say.
#include <algorithm>
#include <utility>

#include "proxy/server/ledger.h"
#include "proxy/server/process.h"

namespace sluice::server {
namespace {

constexpr Duration kDrainBeat = std::chrono::milliseconds(20);
constexpr std::string_view kCutReason = "drain_deadline";
constexpr size_t kMostWaiters = 64;

std::vector<observe::RouteId> health_routes(const exchange::Snapshot& snapshot) {
  std::vector<observe::RouteId> ids;
  for (const exchange::RouteEntry& route : snapshot.routes) {
    const bool is_health = route.config->action == config::Action::kRespond &&
                           route.config->respond.health != config::Health::kNone;
    if (is_health) ids.push_back(route.id);
  }
  return ids;
}

}  // namespace

void Process::begin_drain() {
  if (succession_->is_retiring()) return succession_->hurry();
  if (drain_.stage() != Drain::Stage::kServing) {
    log_->info("told again to stop: no more waiting");
    drain_.hurry();
    return advance_drain();
  }
  lifeline_.say(Word::kStopping);
  readiness_.draining = true;
  drain_.begin(steady_now(), snapshot_->config->drain, evidence().requests);
  enter_stage(Drain::Stage::kAnnouncing);
  advance_drain();
}

bool Process::cancel_drain() {
  if (!drain_.cancel()) return false;
  lifeline_.say(Word::kReady);
  told_to_stop_ = false;
  drain_beat_->cancel();
  readiness_.draining = false;
  for (const auto& worker : workers_) worker->announce_drain(false);
  metrics_->set_drain_state(observe::DrainState::kServing);
  log_->info("serving again");
  for (const ControlAnswer& answer : std::exchange(drain_waiters_, {})) {
    answer({409, "the drain was taken back\n"});
  }
  return true;
}

// The answer comes with the end of the drain.
void Process::await_drain(const ControlAnswer& answer) {
  if (drain_waiters_.size() >= kMostWaiters) return answer({503, "too many wait already\n"});
  drain_waiters_.push_back(answer);
  if (drain_.stage() == Drain::Stage::kServing) begin_drain();
}

void Process::on_timer(event::Timer&) {
  advance_drain();
}

Drain::Evidence Process::evidence() const {
  const observe::MetricTotals totals = metrics_->totals();
  Drain::Evidence evidence;
  const uint64_t begun =
      totals.requests + static_cast<uint64_t>(std::max<int64_t>(totals.in_flight, 0));
  evidence.requests = begun - std::min(begun, metrics_->requests_of(health_routes(*snapshot_)));
  evidence.connections = connections_.open.load();
  evidence.is_closed = still_accepting_ == 0;
  evidence.handshake = last_handshakes(listeners_->slowest_round_trip());
  return evidence;
}

void Process::advance_drain() {
  const Drain::Stage before = drain_.stage();
  const Drain::Stage now = drain_.advance(steady_now(), evidence());
  if (now != before) enter_stage(now);
  if (now == Drain::Stage::kEmptying) {
    for (const auto& worker : workers_) worker->accept_queues();
  }
  if (now == Drain::Stage::kFinishing && drain_.hurried()) {
    for (const auto& worker : workers_) {
      worker->close_idle();
      worker->end_tunnels(Duration{0});
    }
  }
  if (now != Drain::Stage::kOver) drain_beat_->arm(kDrainBeat);
}

void Process::enter_stage(Drain::Stage stage) {
  const bool waits = stage == Drain::Stage::kAnnouncing;
  const auto severity =
      stage == Drain::Stage::kCutting ? observe::Severity::kWarning : observe::Severity::kInfo;
  log_->say(severity, "drain: " + std::string(name_of(stage)) + ", " +
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
      let_listeners_go();
      for (const auto& worker : workers_) worker->end_tunnels(time_for_tunnels());
      break;
    case Drain::Stage::kCutting:
      for (const auto& worker : workers_) worker->close_all(kCutReason, [] {});
      break;
    case Drain::Stage::kOver: end_drain(); break;
    case Drain::Stage::kServing: break;
  }
}

// Before the deadline the last of them has to be through with its closing.
Duration Process::time_for_tunnels() const {
  if (drain_.hurried()) return Duration{0};
  const config::Drain& limits = snapshot_->config->drain;
  const Duration left = limits.deadline - drain_.elapsed(steady_now()) - kTunnelsEnd;
  return std::clamp(left, Duration{0}, limits.tunnels);
}

// The queues are emptied for the last time; then nobody is answered here any more.
void Process::let_listeners_go() {
  listeners_->refuse_new_connections();
  for (const auto& worker : workers_) {
    worker->stop_accepting([this] {
      loop_->post([this] {
        if (--still_accepting_ == 0) listeners_->close();
      });
    });
  }
}

// What is still there had its last words: it is cut, so that each has its line and its count.
void Process::end_drain() {
  auto left = std::make_shared<size_t>(workers_.size());
  for (const auto& worker : workers_) {
    worker->close_all(kCutReason, [this, left] {
      loop_->post([this, left] {
        if (--*left > 0) return;
        const std::string text = summary(books()) + "\n";
        for (const ControlAnswer& answer : std::exchange(drain_waiters_, {})) {
          answer({exit_code() == 0 ? 200 : 422, text});
        }
        loop_->stop();
      });
    });
  }
}

Ledger Process::books() const {
  const observe::MetricTotals totals = metrics_->totals();
  return {totals.requests, totals.unserved, totals.accepts, metrics_->drops()};
}

// 1: somebody's request was cut.
int Process::exit_code() const {
  return metrics_->drops().count(std::string(kCutReason)) > 0 ? 1 : 0;
}

}  // namespace sluice::server
