#include "proxy/upstream/directory.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/upstream/endpoint_words.h"
#include "proxy/upstream/lookout.h"

namespace sluice::upstream {
namespace {

// Ejected endpoints come back within this of their time.
constexpr Duration kSweepBeat = std::chrono::milliseconds(500);
constexpr Duration kUseBeat = std::chrono::seconds(1);
constexpr long kOwnUses = 2;      // the Directory's, and the one it lends from
constexpr size_t kMostNamed = 8;  // addresses in a line of the log

std::string listed(const std::vector<Found>& found) {
  std::string text;
  for (size_t i = 0; i < std::min(found.size(), kMostNamed); ++i) {
    text += (i > 0 ? ", " : "") + found[i].name;
  }
  if (found.size() > kMostNamed)
    text += " and " + std::to_string(found.size() - kMostNamed) + " more";
  return text;
}

std::string counted(size_t count) {
  return std::to_string(count) + (count == 1 ? " address" : " addresses");
}

std::shared_ptr<Endpoint> lend(const std::shared_ptr<Endpoint>& endpoint) {
  auto owner = std::make_shared<std::shared_ptr<Endpoint>>(endpoint);
  return {owner, endpoint.get()};
}

}  // namespace

// An endpoint, and whom its news goes to. It is one object, so that whoever holds the endpoint, the
// last exchange of an old configuration included, holds the turnstile that it wakes.
class Directory::Keeper final : public EndpointEvents {
 public:
  Keeper(Directory& directory, std::string upstream, const Member& member,
         std::shared_ptr<Turnstile> turnstile)
      : loop_(directory.loop_),
        directory_(directory.self_),
        upstream_(std::move(upstream)),
        turnstile_(std::move(turnstile)),
        endpoint_(member.name, member.address, directory.metrics_.endpoint(upstream_, member.name),
                  this) {}
  Endpoint& endpoint() { return endpoint_; }

 private:
  // Any thread. The workers first; log, metrics and the rest are the control thread's.
  void on_endpoint_changed(Endpoint& endpoint, EndpointState from, EndpointState to,
                           EndpointNews why) override {
    turnstile_->wake_all();
    loop_.post(
        [directory = directory_, upstream = upstream_, name = endpoint.name(), from, to, why] {
          if (*directory != nullptr) (*directory)->on_news(upstream, name, from, to, why);
        });
  }

  event::Loop& loop_;
  const std::shared_ptr<Directory*> directory_;
  const std::string upstream_;
  const std::shared_ptr<Turnstile> turnstile_;
  Endpoint endpoint_;
};

Directory::Directory(event::Loop& loop, net::Names& names, observe::Metrics& metrics,
                     observe::ProcessLog& log, DirectoryEvents& events)
    : loop_(loop),
      names_(names),
      metrics_(metrics),
      log_(log),
      events_(events),
      troubled_(std::make_shared<std::atomic<uint64_t>>(0)),
      soon_(loop, *this),
      timer_(loop.timers(), *this),
      sweep_(loop.timers(), *this) {
  metrics_.read_gauge("endpoint_names_failing",
                      "Names of endpoints that cannot be looked up at present.",
                      [count = troubled_] { return static_cast<double>(count->load()); });
}

Directory::~Directory() {
  *self_ = nullptr;
}

// ---- sets ----

std::vector<Member> Directory::members(const config::Upstream& config, const Entry* known,
                                       const LiveOrders& orders) const {
  const auto find = [known](const config::EndpointSource& source) -> const std::vector<Found>* {
    if (known == nullptr) return nullptr;
    for (const auto& discovery : known->discoveries) {
      if (discovery->is_of(source)) return &discovery->found();
    }
    return nullptr;
  };
  return members_of(config.endpoints, find, orders);
}

std::shared_ptr<Endpoint> Directory::make(const std::string& upstream, const Member& member,
                                          std::shared_ptr<Turnstile> turnstile) {
  auto keeper = std::make_shared<Keeper>(*this, upstream, member, std::move(turnstile));
  keeper->endpoint().set_weight(member.weight);
  keeper->endpoint().set_priority(member.priority);
  return {keeper, &keeper->endpoint()};
}

std::shared_ptr<Endpoint> Directory::find_known(const std::string& upstream,
                                                config::Protocol protocol,
                                                const std::string& name) const {
  const auto entry = entries_.find(upstream);
  if (entry != entries_.end() && entry->second.config.protocol == protocol) {
    for (const Slot& slot : entry->second.slots) {
      if (slot.member.name == name) return slot.endpoint;
    }
  }
  for (const Leaving& leaving : leaving_) {
    if (leaving.upstream == upstream && leaving.protocol == protocol &&
        leaving.endpoint->name() == name) {
      return leaving.endpoint;
    }
  }
  return nullptr;
}

Definition Directory::define(const config::Upstream& config, config::Faults& faults) {
  check_sources(config, faults);
  const auto at = entries_.find(config.name);
  const Entry* known = at == entries_.end() ? nullptr : &at->second;
  const bool keeps_orders = known != nullptr && known->config.endpoints == config.endpoints;
  Definition made;
  made.config = config;
  made.id = metrics_.upstream(config.name);
  made.turnstile = known != nullptr ? known->turnstile : std::make_shared<Turnstile>();
  made.ejector = known != nullptr ? known->ejector : std::make_shared<Ejector>();
  for (const Member& member : members(config, known, keeps_orders ? known->orders : LiveOrders{})) {
    // Connections of another protocol are of no use: such an endpoint begins anew.
    auto endpoint = find_known(config.name, config.protocol, member.name);
    if (endpoint == nullptr) endpoint = make(config.name, member, made.turnstile);
    made.endpoints.push_back(std::move(endpoint));
  }
  return made;
}

void Directory::adopt(const std::vector<Definition>& definitions,
                      const config::Resolver& resolver) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    const bool stays = std::any_of(definitions.begin(), definitions.end(),
                                   [&at](const auto& it) { return it.config.name == at->first; });
    // Requests that began before may still be on their way to it, by their own configuration.
    if (!stays) {
      at->second.ejector->reconfigure({}, {});
      dismiss(at->second, std::exchange(at->second.slots, {}), Until::kUnused);
    }
    at = stays ? std::next(at) : entries_.erase(at);
  }
  for (const Definition& definition : definitions) {
    Entry& entry = entries_[definition.config.name];
    if (entry.config.endpoints != definition.config.endpoints) entry.orders = {};
    if (entry.config.protocol != definition.config.protocol) {
      dismiss(entry, std::exchange(entry.slots, {}), Until::kInstalled);
    }
    entry.config = definition.config;
    entry.turnstile = definition.turnstile;
    entry.ejector = definition.ejector;
    entry.id = definition.id;
    take_sources(entry, resolver);
    renew(entry, &definition);
    for (const Slot& slot : entry.slots) named_.emplace_back(slot.lent, definition.config.name);
  }
  count_troubles();
  soon_.schedule();
}

// What was found, or ordered, since the definitions were made has to be said again: it may have
// reached a worker before they did.
void Directory::on_installed(const std::vector<Definition>& definitions) {
  end_leaving([](const Leaving& leaving) { return leaving.until == Until::kInstalled; });
  for (const Definition& definition : definitions) {
    const auto at = entries_.find(definition.config.name);
    if (at == entries_.end()) continue;
    const auto& slots = at->second.slots;
    const bool same = std::equal(slots.begin(), slots.end(), definition.endpoints.begin(),
                                 definition.endpoints.end(),
                                 [](const Slot& a, const auto& b) { return a.endpoint == b; });
    if (!same) tell_soon(at->second);
  }
}

void Directory::take_sources(Entry& entry, const config::Resolver& resolver) {
  std::vector<std::unique_ptr<Discovery>> next;
  for (const config::EndpointSource& source : entry.config.endpoints) {
    if (source.kind == config::EndpointSource::Kind::kAddress) continue;
    const auto known =
        std::find_if(entry.discoveries.begin(), entry.discoveries.end(),
                     [&source](const auto& it) { return it != nullptr && it->is_of(source); });
    if (known != entry.discoveries.end()) {
      (*known)->apply(resolver);
      next.push_back(std::move(*known));
    } else {
      DiscoveryEvents& events = *this;
      next.push_back(std::make_unique<Discovery>(loop_, names_, source, resolver, events));
    }
  }
  entry.discoveries = std::move(next);
}

// The set as it has to be now. Endpoints stay who they are: their state, what they have learned,
// and the workers' connections to them go on.
void Directory::renew(Entry& entry, const Definition* adopted) {
  std::vector<Slot> before = std::exchange(entry.slots, {});
  std::unordered_map<std::string_view, size_t> places;
  for (size_t i = 0; i < before.size(); ++i) places.emplace(before[i].member.name, i);
  bool same = true;
  for (Member& member : members(entry.config, &entry, entry.orders)) {
    Slot slot{nullptr, nullptr, std::move(member)};
    const auto place_before = places.find(slot.member.name);
    if (place_before != places.end()) {
      // The key of `places` stays: only the endpoint is taken out.
      Slot& old = before[place_before->second];
      slot.endpoint = std::move(old.endpoint);
      slot.lent = std::move(old.lent);
      same = same && place_before->second == entry.slots.size() &&
             old.member.weight == slot.member.weight && old.member.priority == slot.member.priority;
      place(slot, old.member.drained, false);
    } else {
      same = false;
      const bool is_back = take_back(entry, slot);
      if (!is_back) slot.endpoint = make_or_take(entry, slot.member, adopted);
      if (!is_back) slot.lent = lend(slot.endpoint);
      place(slot, false, is_back);
      if (!is_back && Lookout::is_down_at_first(entry.config)) {
        slot.endpoint->note(EndpointNews::kListensNot);  // before a worker has it
      }
      // adopt() names them all.
      if (adopted == nullptr) named_.emplace_back(slot.lent, entry.config.name);
    }
    entry.slots.push_back(std::move(slot));
  }
  std::erase_if(before, [](const Slot& slot) { return slot.endpoint == nullptr; });
  same = same && before.empty();
  dismiss(entry, std::move(before), adopted != nullptr ? Until::kInstalled : Until::kTold);
  std::vector<std::shared_ptr<Endpoint>> judged;
  for (const Slot& slot : entry.slots) judged.push_back(slot.lent);
  entry.ejector->reconfigure(entry.config.ejection, judged);
  if (!sweep_.is_armed()) sweep_.arm(kSweepBeat);
  if (!same && adopted == nullptr) tell_soon(entry);
}

// Somebody who was about to go: true when this slot has its endpoint again.
bool Directory::take_back(const Entry& entry, Slot& slot) {
  const auto at = std::find_if(leaving_.begin(), leaving_.end(), [&](const Leaving& leaving) {
    return leaving.upstream == entry.config.name && leaving.protocol == entry.config.protocol &&
           leaving.endpoint->name() == slot.member.name;
  });
  if (at == leaving_.end()) return false;
  slot.endpoint = std::move(at->endpoint);
  slot.lent = std::move(at->lent);
  leaving_.erase(at);
  return true;
}

std::shared_ptr<Endpoint> Directory::make_or_take(const Entry& entry, const Member& member,
                                                  const Definition* adopted) {
  if (adopted != nullptr) {
    for (const auto& endpoint : adopted->endpoints) {
      if (endpoint->name() == member.name) return endpoint;
    }
  }
  return make(entry.config.name, member, entry.turnstile);
}

void Directory::place(const Slot& slot, bool was_drained, bool is_back) {
  slot.endpoint->set_weight(slot.member.weight);
  slot.endpoint->set_priority(slot.member.priority);
  if (slot.member.drained) {
    slot.endpoint->note(EndpointNews::kDrained);
  } else if (was_drained || is_back) {
    slot.endpoint->note(EndpointNews::kUndrained);
  }
  metrics_.set_endpoint_state(slot.endpoint->id(), slot.endpoint->state());
}

void Directory::dismiss(Entry& entry, std::vector<Slot> gone, Until until) {
  for (Slot& slot : gone) {
    if (until == Until::kTold) slot.endpoint->note(EndpointNews::kDrained);
    leaving_.push_back({entry.config.name, entry.config.protocol, std::move(slot.endpoint),
                        std::move(slot.lent), until, 0});
  }
  if (!gone.empty() && until == Until::kUnused) timer_.arm(kUseBeat);
}

void Directory::end_leaving(const std::function<bool(const Leaving&)>& is_over) {
  std::vector<Leaving> over;
  for (size_t i = 0; i < leaving_.size();) {
    if (!is_over(leaving_[i])) {
      ++i;
      continue;
    }
    over.push_back(std::move(leaving_[i]));
    leaving_.erase(leaving_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (Leaving& leaving : over) {
    leaving.endpoint->note(EndpointNews::kRemoved);
    // The same address may serve on, under another protocol: its line in the metrics is shared.
    const auto at = entries_.find(leaving.upstream);
    const bool serves =
        at != entries_.end() &&
        std::any_of(at->second.slots.begin(), at->second.slots.end(), [&leaving](const Slot& slot) {
          return slot.member.name == leaving.endpoint->name();
        });
    if (!serves) metrics_.set_endpoint_state(leaving.endpoint->id(), EndpointState::kGone);
    gone_.push_back(std::move(leaving.endpoint));
  }
  if (!gone_.empty()) soon_.schedule();
}

void Directory::tell_soon(Entry& entry) {
  entry.is_dirty = true;
  soon_.schedule();
}

void Directory::on_soon() {
  for (const auto& [endpoint, upstream] : std::exchange(named_, {})) {
    const auto at = entries_.find(upstream);
    if (at != entries_.end()) events_.on_endpoint_named(endpoint, at->second.config);
  }
  for (const auto& endpoint : std::exchange(gone_, {})) events_.on_endpoint_gone(*endpoint);
  for (auto& [name, entry] : entries_) {
    if (!std::exchange(entry.is_dirty, false)) continue;
    Definition definition{entry.config, {}, entry.turnstile, entry.ejector, entry.id};
    for (const Slot& slot : entry.slots) definition.endpoints.push_back(slot.endpoint);
    const uint64_t told = ++told_;
    for (Leaving& leaving : leaving_) {
      const bool is_in = leaving.until == Until::kTold && leaving.upstream == name;
      if (is_in && leaving.told == 0) leaving.told = told;
    }
    events_.on_definition(definition, [self = self_, told] {
      if (*self == nullptr) return;
      (*self)->end_leaving([told](const Leaving& leaving) { return leaving.told == told; });
    });
  }
}

void Directory::on_timer(event::Timer& timer) {
  if (&timer == &sweep_) {
    for (auto& [name, entry] : entries_) entry.ejector->sweep(steady_now());
    return sweep_.arm(kSweepBeat);
  }
  end_leaving([](const Leaving& leaving) {
    return leaving.until == Until::kUnused && leaving.endpoint.use_count() <= kOwnUses;
  });
  const bool waits = std::any_of(leaving_.begin(), leaving_.end(), [](const Leaving& leaving) {
    return leaving.until == Until::kUnused;
  });
  if (waits) timer_.arm(kUseBeat);
}

// ---- news ----

void Directory::on_news(const std::string& upstream, const std::string& name, EndpointState from,
                        EndpointState to, EndpointNews why) {
  const bool bad = to == EndpointState::kHolding || to == EndpointState::kSuspect;
  const std::string who = "upstream " + upstream + " " + name;
  const std::string change = std::string(name_of(from)) + " -> " + std::string(name_of(to));
  // Limited by what has changed: one that flaps must not hide where another, or it itself, ended.
  log_.limited(bad ? observe::Severity::kWarning : observe::Severity::kInfo, who + change,
               who + ": " + change + " (" + std::string(reason_of(why)) + ")");
  const auto at = entries_.find(upstream);
  if (at == entries_.end()) return;
  const auto endpoint = find_known(upstream, at->second.config.protocol, name);
  if (endpoint == nullptr) return;
  // What it is now, not what it was when the news set out: two may have overtaken each other.
  metrics_.set_endpoint_state(endpoint->id(), endpoint->state());
  if (why == EndpointNews::kEjected) metrics_.ejected(endpoint->id());
  events_.on_endpoint_state(upstream, *endpoint, from, to);
}

Directory::Entry& Directory::entry_of(const Discovery& discovery) {
  for (auto& [name, entry] : entries_) {
    for (const auto& each : entry.discoveries) {
      if (each.get() == &discovery) return entry;
    }
  }
  SLUICE_ASSERT(false);  // an entry goes with its discoveries
  std::abort();
}

void Directory::on_found(Discovery& discovery) {
  Entry& entry = entry_of(discovery);
  log_.info("upstream " + entry.config.name + ": " + discovery.text() + " is " +
            listed(discovery.found()));
  renew(entry, nullptr);
}

void Directory::on_trouble(Discovery& discovery, const std::string& why) {
  const Entry& entry = entry_of(discovery);
  const size_t known = discovery.found().size();
  log_.warning("upstream " + entry.config.name + ": " + discovery.text() + ": " + why + "; " +
               (known > 0             ? "what was known is used on: " + counted(known)
                : entry.slots.empty() ? "there is no endpoint yet, requests wait"
                                      : "it adds no endpoint yet"));
  count_troubles();
}

void Directory::on_recovered(Discovery& discovery) {
  log_.info("upstream " + entry_of(discovery).config.name + ": " + discovery.text() +
            " is answered again: " + counted(discovery.found().size()));
  count_troubles();
}

void Directory::count_troubles() {
  uint64_t count = 0;
  for (const auto& [name, entry] : entries_) {
    for (const auto& discovery : entry.discoveries) count += discovery->trouble().empty() ? 0 : 1;
  }
  troubled_->store(count, std::memory_order_relaxed);
}

}  // namespace sluice::upstream
