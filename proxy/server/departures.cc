#include "proxy/server/departures.h"

#include <algorithm>
#include <utility>

namespace sluice::server {
namespace {

constexpr Duration kBeat = std::chrono::milliseconds(20);
constexpr Duration kShortest = std::chrono::milliseconds(200);
constexpr Duration kLongest = std::chrono::seconds(2);

}  // namespace

Duration last_handshakes(Duration slowest_round_trip) {
  return std::clamp(2 * slowest_round_trip, kShortest, kLongest);
}

Departures::Departures(event::Loop& loop, const Workers& workers, observe::ProcessLog& log,
                       std::function<void()> on_closed)
    : loop_(loop),
      workers_(workers),
      log_(log),
      on_closed_(std::move(on_closed)),
      beat_(loop.timers(), *this) {}

void Departures::begin(std::shared_ptr<ListenerShared> listener) {
  const auto held = listener->socket.hold_new_connections();
  if (!held) log_.warning("listener " + listener->name + ": " + held.error().detail);
  leaving_.push_back({std::move(listener), steady_now()});
  if (!beat_.is_armed()) beat_.arm(kBeat);
}

std::shared_ptr<ListenerShared> Departures::find(const std::string& name) const {
  for (const Leaving& leaving : leaving_) {
    if (leaving.listener->name == name && leaving.holders == 0) return leaving.listener;
  }
  return nullptr;
}

void Departures::recall(const ListenerShared& listener) {
  const auto at = std::find_if(leaving_.begin(), leaving_.end(), [&listener](const auto& leaving) {
    return leaving.listener.get() == &listener;
  });
  if (at == leaving_.end()) return;
  at->listener->socket.release_new_connections();
  leaving_.erase(at);
}

bool Departures::is_closing() const {
  return std::any_of(leaving_.begin(), leaving_.end(),
                     [](const Leaving& leaving) { return leaving.holders > 0; });
}

void Departures::on_timer(event::Timer&) {
  const TimePoint now = steady_now();
  for (Leaving& leaving : leaving_) {
    const std::chrono::microseconds seen(leaving.listener->slowest_round_trip.load());
    if (leaving.holders == 0 && now - leaving.since >= last_handshakes(seen)) let_go(leaving);
  }
  if (!leaving_.empty()) beat_.arm(kBeat);
}

void Departures::let_go(Leaving& leaving) {
  leaving.listener->socket.refuse_new_connections();
  leaving.holders = workers_.size() + 1;  // and ourselves, so that the last word comes later
  for (const auto& worker : workers_) {
    worker->let_go(leaving.listener, [this, listener = leaving.listener.get()] {
      loop_.post([this, listener] { on_let_go(listener); });
    });
  }
  loop_.post([this, listener = leaving.listener.get()] { on_let_go(listener); });
}

void Departures::on_let_go(const ListenerShared* listener) {
  const auto at = std::find_if(leaving_.begin(), leaving_.end(), [listener](const auto& leaving) {
    return leaving.listener.get() == listener;
  });
  if (--at->holders > 0) return;
  const std::shared_ptr<ListenerShared> closed = std::move(at->listener);
  leaving_.erase(at);
  closed->socket.close();
  log_.info("listener " + closed->name + " is closed, " + std::to_string(closed->open.load()) +
            " connections go on");
  on_closed_();
}

}  // namespace sluice::server
