// What the stages of a drain do (DESIGN, law 2); when they come is server/drain's to say.
#include "proxy/server/process.h"

namespace sluice::server {
namespace {

constexpr Duration kDrainBeat = std::chrono::milliseconds(20);

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
  drain_.begin(steady_now(), snapshot_->config->drain, metrics_->totals().requests);
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
