#include "proxy/upstream/listener_watch.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include <sys/un.h>

namespace sluice::upstream {
namespace {

using namespace std::chrono_literals;
using Seen = net::ListenerLook::Seen;

constexpr Duration kAtRest = 20ms;
constexpr Duration kAway = 5ms;
constexpr Duration kLongAway = 10ms;  // after a minute nobody is held any more
constexpr Duration kMostInterval = 1s;
constexpr Duration kSoonAway = 10s;
constexpr Duration kMinute = 60s;
constexpr int kShare = 100;         // looking may cost this part of a core: one percent
constexpr uint64_t kMeasured = 16;  // one beat of so many
constexpr Duration kDoubt = 10s;
constexpr uint32_t kMostClaims = 3;
constexpr uint32_t kMostContradictions = 3;

Duration thread_cpu() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

std::string path_of(const Endpoint& endpoint) {
  return reinterpret_cast<const sockaddr_un*>(endpoint.address().data())->sun_path;
}

}  // namespace

struct ListenerWatch::Watched {
  Watched(event::Loop& loop, std::shared_ptr<Endpoint> which, Release how, ProbeEvents& events)
      : endpoint(std::move(which)), release(how), probe(loop, *endpoint, events) {}

  const std::shared_ptr<Endpoint> endpoint;
  Release release;
  bool is_visible = false;  // its listener can be looked at
  bool hears = false;       // its folder is watched
  bool was_seen = false;    // and was
  bool is_away = false;     // as of the last beat
  TimePoint away_since{};
  TimePoint doubted_until{};    // looks are not believed; max(): never again
  uint32_t claims = 0;          // times it was said to be back, and was not
  uint32_t contradictions = 0;  // times it was ready without being seen
  ConnectProbe probe;

  bool is_contradicted() const { return contradictions >= kMostContradictions; }
};

ListenerWatch::ListenerWatch(event::Loop& loop, net::ListenerSource& source)
    : loop_(loop),
      source_(source),
      folders_(loop, *this),
      at_once_(loop.timers(), *this),
      beat_(loop, *this) {}

ListenerWatch::~ListenerWatch() = default;

void ListenerWatch::watch(std::shared_ptr<Endpoint> endpoint, Release release) {
  if (knows(*endpoint)) return;
  ProbeEvents& events = *this;
  auto it = std::make_unique<Watched>(loop_, std::move(endpoint), release, events);
  it->is_visible = source_.can_look_at(it->endpoint->address());
  if (it->endpoint->address().is_unix()) it->hears = folders_.add(path_of(*it->endpoint));
  watched_.push_back(std::move(it));
  at_once_.arm(Duration{0});
}

bool ListenerWatch::knows(const Endpoint& endpoint) const {
  return std::any_of(watched_.begin(), watched_.end(),
                     [&endpoint](const auto& it) { return it->endpoint.get() == &endpoint; });
}

void ListenerWatch::unwatch(const Endpoint& endpoint) {
  const auto it = std::find_if(watched_.begin(), watched_.end(),
                               [&](const auto& one) { return one->endpoint.get() == &endpoint; });
  if (it == watched_.end()) return;
  const std::unique_ptr<Watched> gone = std::move(*it);
  watched_.erase(it);
  // Another upstream may have the same address.
  const auto text = endpoint.address().text();
  const bool still = std::any_of(watched_.begin(), watched_.end(), [&text](const auto& one) {
    return one->endpoint->address().text() == text;
  });
  if (still) return;
  source_.forget(endpoint.address());
  if (endpoint.address().is_unix()) folders_.remove(path_of(endpoint));
}

void ListenerWatch::on_endpoint_changed() {
  if (!watched_.empty()) at_once_.arm(Duration{0});
}

void ListenerWatch::on_path_changed(const std::string& path) {
  for (const auto& it : watched_) {
    if (it->endpoint->address().is_unix() && path_of(*it->endpoint) == path) it->probe.hurry();
  }
  // At most once a millisecond, however much goes on in that folder.
  on_endpoint_changed();
}

// ---- the beat ----

void ListenerWatch::on_beat() {
  beat(loop_.now());
  keep_beat();
}

void ListenerWatch::on_timer(event::Timer&) {
  on_beat();
}

// Without a beat (no descriptor left) the timer does, at a higher price.
void ListenerWatch::keep_beat() {
  const Duration wanted = watched_.empty() ? Duration{0} : interval_;
  if (!beat_.set(wanted)) at_once_.arm(interval_);
}

void ListenerWatch::beat(TimePoint now) {
  // Now and then is enough to know what it costs.
  const bool is_measured = beats_++ % kMeasured == 0;
  const Duration before = is_measured ? thread_cpu() : Duration{0};
  Duration wish = kAtRest;
  for (const auto& it : watched_) {
    step(*it, now);
    wish = std::min(wish, wish_of(*it, now));
  }
  if (is_measured) measure(thread_cpu() - before);
  interval_ = std::min(std::max(wish, cost_ * kShare), kMostInterval);
}

// How soon this one wants to be looked at again.
Duration ListenerWatch::wish_of(const Watched& it, TimePoint now) const {
  if (!it.is_away) return kAtRest;
  const Duration away = now - it.away_since;
  const bool looked_at = it.is_visible && now >= it.doubted_until;
  if (away < kSoonAway) return kAway;
  if (!looked_at) return kAtRest;
  return away < kMinute ? kAway : kLongAway;
}

// Smoothed, so that one look that met a busy machine does not blind us.
void ListenerWatch::measure(Duration cost) {
  cost_ += (cost - cost_) / 4;
}

void ListenerWatch::step(Watched& it, TimePoint now) {
  const EndpointState state = it.endpoint->state();
  if (state == EndpointState::kDraining || state == EndpointState::kGone) return;
  if (state == EndpointState::kReady) {
    it.release = Release::kByListener;
    it.claims = 0;
  }
  const bool was_away = std::exchange(it.is_away, state == EndpointState::kHolding);
  if (it.is_away && !was_away) it.away_since = now;
  if (!it.is_away && !it.is_contradicted()) it.probe.end();
  if (it.is_visible && now >= it.doubted_until) return look(it, now);
  if (it.is_away) probe(it, ConnectProbe::Pace::kEager, now);
}

// ---- looking ----

void ListenerWatch::look(Watched& it, TimePoint now) {
  Endpoint& endpoint = *it.endpoint;
  const net::ListenerLook look = source_.look(endpoint.address());
  if (endpoint.backlog_is_full() != look.is_full()) endpoint.set_backlog_full(look.is_full());
  if (look.seen == Seen::kThere) return on_there(it, now);
  on_absent(it, look.seen, now);
}

void ListenerWatch::on_there(Watched& it, TimePoint now) {
  it.was_seen = true;
  it.contradictions = 0;
  if (!it.is_away || it.release == Release::kByCheck) return;
  // It is seen, and who dials is refused all the same: a packet filter, or not the socket that is
  // dialled. Only connecting will tell.
  if (it.claims >= kMostClaims) return doubt(it, now + kDoubt, now);
  ++it.claims;
  it.endpoint->note(EndpointNews::kListens);
}

void ListenerWatch::on_absent(Watched& it, Seen seen, TimePoint now) {
  it.claims = 0;
  const bool is_proven = seen == Seen::kAbsent;
  if (it.is_away) {
    // Seen before, and surely not there now: it will be seen when it is back. In all other cases
    // what answers may be hidden: behind a packet filter that redirects, in another namespace.
    if (it.was_seen && is_proven) return;
    const bool is_blind = !it.was_seen && !is_proven;
    return probe(it, is_blind ? ConnectProbe::Pace::kEager : ConnectProbe::Pace::kPatient, now);
  }
  if (it.was_seen) return it.endpoint->note(EndpointNews::kListensNot);
  if (!is_proven) return;
  if (it.endpoint->state() == EndpointState::kStarting) {
    return it.endpoint->note(EndpointNews::kListensNot);
  }
  // It answers and is no listener of this namespace, or it went before it was ever looked at:
  // connecting tells.
  ++it.contradictions;
  if (it.is_contradicted()) probe(it, ConnectProbe::Pace::kEager, now);
}

void ListenerWatch::doubt(Watched& it, TimePoint until, TimePoint now) {
  it.claims = 0;
  it.doubted_until = until;
  it.endpoint->set_backlog_full(false);
  if (it.is_away) probe(it, ConnectProbe::Pace::kEager, now);
}

// ---- connecting ----

void ListenerWatch::probe(Watched& it, ConnectProbe::Pace pace, TimePoint now) {
  // The checks connect already.
  if (it.release == Release::kByCheck) return;
  it.probe.begin(pace, now);
  if (!it.probe.is_due(now)) return;
  if (!it.hears && it.endpoint->address().is_unix()) it.hears = folders_.add(path_of(*it.endpoint));
  ++probes_;
  it.probe.dial(now);
}

void ListenerWatch::on_probed(ConnectProbe& probe, bool connected) {
  const auto found = std::find_if(watched_.begin(), watched_.end(),
                                  [&probe](const auto& it) { return &it->probe == &probe; });
  if (found == watched_.end()) return;
  Watched& it = **found;
  const TimePoint now = loop_.now();
  const bool is_away = it.endpoint->state() == EndpointState::kHolding;
  if (!is_away && it.is_contradicted()) {
    if (!connected) return it.endpoint->note(EndpointNews::kListensNot);
    return doubt(it, TimePoint::max(), now);
  }
  if (!is_away || !connected) return;
  // It connects, and the table that is believed does not have it: the table is wrong about it.
  if (it.is_visible && now >= it.doubted_until &&
      source_.look(it.endpoint->address()).seen != Seen::kThere) {
    doubt(it, TimePoint::max(), now);
  }
  it.endpoint->note(EndpointNews::kListens);
}

}  // namespace sluice::upstream
