// An upgrade as the supervisor sees it: a second process is started from the binary's path; when it
// accepts, the first one retires.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "proxy/server/supervisor.h"

namespace sluice::server {

// `asked`: by the process that serves, which waits for the verdict.
void Supervisor::begin_upgrade(bool asked) {
  const Child* const serving = find(Child::State::kServing);
  std::string why;
  if (stopping_ || exit_code_ || (serving != nullptr && serving->draining)) {
    why = "the process is draining";
  } else if (upgrade_until_) {
    why = "another upgrade is under way";
  } else if (serving == nullptr) {
    why = "no process serves at the moment";
  } else if (children_.size() >= kMostChildren) {
    why = "too many processes of earlier upgrades still finish requests";
  }
  if (!why.empty()) {
    log("error", "upgrade refused: " + why);
    ++failed_upgrades_;
    for (const Message& message : told()) tell(message);
    if (asked) tell(Message(Word::kVerdict, why, 0));
    return;
  }
  log("info", "upgrade: starting " + options_.binary);
  upgrade_until_ = steady_now() + options_.upgrade_timeout;
  next_binary_ = Fd(::open(options_.binary.c_str(), O_PATH | O_CLOEXEC));
  spawn(Child::State::kSuccessor, How::kExec, "");
}

void Supervisor::on_accepting(Child& child, const Message& message) {
  child.accepted = steady_now();
  has_served_ = true;
  if (child.state == Child::State::kStarting) {
    child.state = Child::State::kServing;
    manager_.say(message);
    return;
  }
  // One whose upgrade was called off drains, as it was told.
  if (child.state != Child::State::kSuccessor || child.draining) return;
  Child* const old = find(Child::State::kServing);
  binary_ = std::move(next_binary_);
  pause_ = Duration{0};
  end_upgrade(
      true, "process " + std::to_string(child.pid) + " serves now: " + std::string(message.text()));
  child.state = Child::State::kServing;
  for (const Message& count : told()) child.channel.send(count);
  manager_.say(message);
  if (old != nullptr) return hand_over(*old, child);
  child.channel.send(Message(Word::kPredecessorGone));
}

void Supervisor::hand_over(Child& old, Child& next) {
  old.state = Child::State::kRetiring;
  auto line = Channel::make();
  if (!line) {
    old.channel.send(Message(Word::kRetire));
    next.channel.send(Message(Word::kPredecessorGone));
    return;
  }
  next.channel.send(Message(Word::kPredecessor), line->second.descriptor());
  old.channel.send(Message(Word::kRetire), line->first.descriptor());
}

void Supervisor::end_upgrade(bool well, const std::string& text) {
  upgrade_until_.reset();
  ++(well ? upgrades_ : failed_upgrades_);
  log(well ? "info" : "error", (well ? "upgrade: " : "upgrade failed: ") + text);
  for (const Message& message : told()) tell(message);
  tell(Message(Word::kVerdict, text, well ? 1 : 0));
  if (well) return;
  if (Child* const left = find(Child::State::kSuccessor); left != nullptr) {
    // It may have taken connections already: it drains, or is killed if it never accepts.
    left->draining = true;
    if (!left->silent) left->channel.send(Message(Word::kSignal, {}, SIGTERM));
    upgrade_until_ = steady_now() + options_.upgrade_timeout;
  }
  const bool is_alone =
      find(Child::State::kServing) == nullptr && find(Child::State::kStarting) == nullptr;
  if (is_alone && has_served_ && !stopping_ && !exit_code_) restart_at_ = steady_now();
}

void Supervisor::check_upgrade() {
  if (!upgrade_until_ || steady_now() < *upgrade_until_) return;
  upgrade_until_.reset();
  Child* const late = find(Child::State::kSuccessor);
  if (late == nullptr || late->accepted != TimePoint{}) return;
  const auto limit =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.upgrade_timeout);
  late->last_words = late->silent
                         ? "it hung up before it accepted"
                         : "it did not accept within " + std::to_string(limit.count()) + " ms";
  ::kill(late->pid, SIGKILL);  // its end is the verdict
}

}  // namespace sluice::server
