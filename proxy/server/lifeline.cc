#include "proxy/server/lifeline.h"

#include <unistd.h>

#include <utility>

namespace sluice::server {
namespace {

constexpr Duration kBirth = std::chrono::seconds(10);  // the supervisor's words come at once
constexpr int kMostPerTick = 64;

}  // namespace

Status Lifeline::learn(SocketStock& sockets) {
  if (!supervisor_.is_open()) {
    manager_ = ServiceManager::from_environment();
    watchdog_ = manager_.watchdog();
    sockets.add_passed();
    return {};
  }
  for (;;) {
    Message message;
    Fd with;
    if (supervisor_.await(message, with, kBirth) != Channel::Got::kMessage) {
      return fail(ErrorCode::kClosed, Side::kUs,
                  "the supervisor speaks another protocol or is gone");
    }
    const std::string text(message.text());
    switch (message.word) {
      case Word::kWelcome:
        role_ = static_cast<Role>(message.number);
        reason_ = text;
        break;
      case Word::kSocket: sockets.add(text, std::move(with)); break;
      case Word::kTold: told_.push_back(message); break;
      case Word::kWatchdog: watchdog_ = std::chrono::milliseconds(message.number); break;
      case Word::kProven: proven_ = true; break;
      case Word::kBegin: return {};
      default: break;
    }
  }
}

Status Lifeline::start(event::Loop& loop, LifelineEvents& events) {
  events_ = &events;
  if (watchdog_ > Duration{0}) {
    event::TimerEvents& beats = *this;
    alive_ = std::make_unique<event::Timer>(loop.timers(), beats);
    alive_->arm(watchdog_ / 2);
  }
  if (!supervisor_.is_open()) return {};
  return watcher_.start_level(loop, supervisor_.descriptor(), *this);
}

void Lifeline::leave() {
  alive_.reset();
  watcher_.stop();
}

int Lifeline::signal_pid() const {
  return is_supervised() && !gone_ ? ::getppid() : ::getpid();
}

bool Lifeline::say(Word word, std::string_view text, int64_t number, int with) const {
  const Message message(word, text, number);
  if (supervisor_.is_open()) return supervisor_.send(message, with);
  manager_.say(message);
  return false;
}

void Lifeline::on_timer(event::Timer&) {
  say(Word::kAlive);
  alive_->arm(watchdog_ / 2);
}

void Lifeline::on_io(event::IoReady) {
  for (int i = 0; i < kMostPerTick; ++i) {
    Message message;
    Fd with;
    const Channel::Got got = supervisor_.receive(message, with);
    if (got == Channel::Got::kNothing) return;
    if (got == Channel::Got::kEnd) {
      watcher_.stop();
      gone_ = true;
      return events_->on_supervisor_gone();
    }
    hear(message, std::move(with));
  }
}

void Lifeline::hear(const Message& message, Fd with) {
  switch (message.word) {
    case Word::kSignal: return events_->on_told_signal(static_cast<int>(message.number));
    case Word::kVerdict:
      return events_->on_verdict(message.number == 1, std::string(message.text()));
    case Word::kRetire: return events_->on_retire(Channel(std::move(with)));
    case Word::kPredecessor: return events_->on_predecessor(Channel(std::move(with)));
    case Word::kPredecessorGone: return events_->on_predecessor_gone();
    case Word::kTold: return events_->on_told(message);
    case Word::kCounters:
      if (const auto text = read_memory_file(with.get())) events_->on_counters(*text);
      return;
    default: return;  // nothing we are told
  }
}

}  // namespace sluice::server
