#include "proxy/server/succession.h"

#include <algorithm>
#include <utility>

#include "proxy/base/text.h"
#include "proxy/server/drain.h"

namespace sluice::server {
namespace {

constexpr Duration kBeat = std::chrono::milliseconds(20);
constexpr Duration kCountersEvery = std::chrono::seconds(1);
// Long downloads and tunnels end in the old process; then they are cut, and counted. Tunnels are
// ended politely before.
constexpr Duration kLongestRetirement = std::chrono::minutes(10);
// Health and metrics are answered even when the predecessor is stuck.
constexpr Duration kPatience = std::chrono::seconds(2);
// After new SYNs are held, handshakes under way still complete.
constexpr Duration kLastHandshakes = std::chrono::milliseconds(200);

}  // namespace

Succession::Succession(Lifeline& lifeline, SocketStock& sockets, const House& house,
                       SuccessionOwner& owner)
    : lifeline_(lifeline),
      sockets_(sockets),
      house_(house),
      owner_(owner),
      beat_(house.loop.timers(), *this) {}

Succession::~Succession() = default;

Status Succession::start() {
  for (const Message& message : lifeline_.told()) on_told(message);
  lifeline_.say(Word::kLedger, {}, 0, house_.metrics.ledger());
  if (lifeline_.role() == Role::kSuccessor) house_.controls.hold();
  if (lifeline_.role() == Role::kRestarted) {
    house_.log.warning("started again: " + lifeline_.reason());
  }
  LifelineEvents& events = *this;
  return lifeline_.start(house_.loop, events);
}

void Succession::on_accepting(const std::string& status) {
  for (const std::string& name : sockets_.begin_serving()) {
    const auto words = split(name, '\t');
    house_.log.warning("a socket that was passed to us is closed, no listener has its address: " +
                       std::string(words.back()));
  }
  lifeline_.say(Word::kAccepting, status);
  if (lifeline_.role() != Role::kSuccessor) return;
  patience_ = std::make_unique<Later>(house_.loop, kPatience, [this] { answer(); });
}

void Succession::upgrade(const Verdict& verdict) {
  if (!lifeline_.is_supervised()) {
    return verdict(false, "there is no supervisor: it runs with --no-supervisor");
  }
  if (asker_ || is_retiring()) return verdict(false, "another upgrade is under way");
  asker_ = verdict;
  if (!lifeline_.say(Word::kUpgrade)) on_verdict(false, "the supervisor does not answer");
}

void Succession::on_verdict(bool well, std::string text) {
  const Verdict asker = std::exchange(asker_, nullptr);
  if (well) {
    house_.log.info("upgrade: " + text);
  } else {
    house_.log.error("upgrade failed, nothing has changed: " + text);
  }
  if (asker) asker(well, std::move(text));
}

void Succession::on_told(const Message& message) {
  const auto words = split(message.text(), '\t');
  if (words.size() != 4 || message.number < 0) return;
  house_.metrics.tell(std::string(words[0]), std::string(words[1]), std::string(words[2]),
                      std::string(words[3]), static_cast<uint64_t>(message.number));
}

void Succession::on_supervisor_gone() {
  house_.log.error("the supervisor is gone");
  if (asker_) on_verdict(false, "the supervisor is gone");
  owner_.on_orphaned();
}

// ---- the one that comes ----

void Succession::on_predecessor(Channel line) {
  if (predecessors_.size() == kMostPredecessors) return;
  for (const auto& listener : house_.listeners.all()) {
    line.send(Message(Word::kListener, listener->name));
  }
  line.send(Message(Word::kBegin));
  LineEvents& events = *this;
  auto made = std::make_unique<Line>(std::move(line), events);
  if (made->start(house_.loop)) predecessors_.push_back(std::move(made));
}

void Succession::on_counters(const std::string& text) {
  if (!house_.metrics.inherit(text)) {
    house_.log.warning("the counters of the process before are not understood");
  }
  answer();
}

// A wake-up of a listener may have gone to it and been lost with it (EPOLLEXCLUSIVE).
void Succession::on_predecessor_gone() {
  if (predecessors_.empty()) answer();
  for (const auto& worker : house_.workers) worker->accept_queues();
}

void Succession::answer() {
  if (patience_ == nullptr) return;
  house_.loop.post([this] { patience_.reset(); });  // it may be on the stack
  house_.controls.answer();
}

void Succession::adopt(const Message& message, Fd with) {
  const std::string_view text = message.text();
  const std::string_view name = text.substr(0, text.find('\0'));
  const std::string_view proxied = text.substr(std::min(name.size() + 1, text.size()));
  for (const auto& listener : house_.listeners.all()) {
    if (listener->name != name) continue;
    net::IpPort client;
    client.ip = message.ip;
    client.port = message.port;
    turn_ = (turn_ + 1) % house_.workers.size();
    house_.workers[turn_]->adopt(listener, std::move(with), client,
                                 static_cast<uint32_t>(message.number), proxied);
    return;
  }
}

// ---- the one that goes ----

void Succession::on_retire(Channel line) {
  if (is_retiring()) return;
  stage_ = Stage::kNaming;
  deadline_ = steady_now() + std::max(kLongestRetirement, owner_.drain_deadline());
  sockets_.retire();
  house_.controls.retire();
  give_counters(house_.metrics.retire());
  house_.log.info("a successor serves; " + std::to_string(house_.connections.open.load()) +
                  " connections open");
  beat_.arm(kBeat);
  LineEvents& events = *this;
  successor_ = std::make_unique<Line>(std::move(line), events);
  if (!successor_->channel().is_open() || !successor_->start(house_.loop)) let_go();
}

void Succession::on_line_word(Line& line, const Message& message, Fd with) {
  if (&line != successor_.get()) {
    if (message.word == Word::kConnection) adopt(message, std::move(with));
    return;
  }
  if (message.word == Word::kListener) named_.emplace_back(message.text());
  if (message.word == Word::kBegin) let_go();
}

void Succession::on_line_end(Line& line) {
  if (&line == successor_.get()) {
    // It crashed. Its restart has the sockets; who is here stays and is told to leave.
    let_go();
    for (const auto& worker : house_.workers) worker->announce_drain(true);
    return;
  }
  const auto at = std::find_if(predecessors_.begin(), predecessors_.end(),
                               [&line](const auto& one) { return one.get() == &line; });
  house_.loop.defer_delete(std::move(*at));
  predecessors_.erase(at);
}

// Listeners that the successor has not are dropped as by a reload: no new handshakes, then the
// queue.
void Succession::let_go() {
  if (stage_ != Stage::kNaming) return;
  stage_ = Stage::kRetiring;
  still_accepting_ = house_.workers.size();
  // A successor that crashed has named none; its restart accepts on them all.
  for (const auto& listener : house_.listeners.all()) {
    const bool is_named = std::find(named_.begin(), named_.end(), listener->name) != named_.end();
    if (!is_named && !named_.empty()) dropped_.push_back(listener);
  }
  for (const auto& listener : dropped_) {
    static_cast<void>(listener->socket.hold_new_connections());
    listener->socket.refuse_new_connections();
  }
  if (dropped_.empty()) return order_workers();
  last_handshakes_ =
      std::make_unique<Later>(house_.loop, kLastHandshakes, [this] { order_workers(); });
}

void Succession::order_workers() {
  const auto names = std::make_shared<const std::vector<std::string>>(named_);
  for (const auto& worker : house_.workers) {
    worker->hand_over(names, successor_->channel(),
                      [this] { house_.loop.post([this] { on_let_go(); }); });
  }
}

void Succession::on_let_go() {
  if (--still_accepting_ > 0) return;
  for (const auto& listener : dropped_) listener->socket.close();
  dropped_.clear();
}

void Succession::hurry() {
  deadline_ = std::min(deadline_, steady_now() + owner_.drain_deadline());
  for (const auto& worker : house_.workers) worker->announce_drain(true);
}

void Succession::on_timer(event::Timer&) {
  const TimePoint now = steady_now();
  if (now - told_counters_ >= kCountersEvery) give_counters(house_.metrics.take_increment());
  const Duration left = std::max(deadline_ - now - kTunnelsEnd, Duration{0});
  const Duration budget = owner_.tunnel_budget();
  if (!ends_tunnels_ && left <= budget) {
    ends_tunnels_ = true;
    for (const auto& worker : house_.workers) worker->end_tunnels(left);
  }
  const size_t open = house_.connections.open.load();
  const bool is_empty =
      stage_ == Stage::kRetiring && still_accepting_ == 0 && open == 0 && predecessors_.empty();
  if (is_empty || now >= deadline_) {
    stage_ = Stage::kOver;
    if (!is_empty) {
      house_.log.warning("the time to finish is over, " + std::to_string(open) +
                         " connections are cut");
    }
    return owner_.on_succeeded();
  }
  beat_.arm(kBeat);
}

void Succession::give_counters(const std::string& text) {
  told_counters_ = steady_now();
  if (text.empty()) return;
  const auto file = to_memory_file(text);
  if (!file || !lifeline_.say(Word::kCounters, {}, 0, file->get())) {
    house_.log.warning("the successor could not be told what was counted here");
  }
}

void Succession::say_last() {
  if (stage_ == Stage::kOver) give_counters(house_.metrics.take_increment());
}

}  // namespace sluice::server
