// The Directory's live orders, and what it shows of itself.
#include <algorithm>
#include <utility>

#include "proxy/base/text.h"
#include "proxy/config/units.h"
#include "proxy/upstream/directory.h"

namespace sluice::upstream {
namespace {

constexpr size_t kMostListed = 20;  // names in an answer

tl::unexpected<Error> refuse(ErrorCode code, std::string why) {
  return fail(code, Side::kUs, std::move(why));
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMostListed); ++i) {
    text += (i > 0 ? ", " : "") + names[i];
  }
  if (names.size() > kMostListed) text += ", ...";
  return text.empty() ? "none" : text;
}

tl::unexpected<Error> too_many() {
  return refuse(ErrorCode::kOverloaded,
                std::to_string(kMostMembers) + " endpoints, or orders about them, are the most");
}

}  // namespace

Result<Directory::Entry*> Directory::find_entry(std::string_view upstream) {
  const auto at = entries_.find(upstream);
  if (at != entries_.end()) return &at->second;
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return refuse(ErrorCode::kNotFound, "there is no upstream \"" + std::string(upstream) +
                                          "\"; there is: " + joined(names));
}

Result<Directory::Slot*> Directory::find_slot(Entry& entry, const std::string& endpoint) {
  std::vector<std::string> names;
  for (Slot& slot : entry.slots) {
    if (slot.member.name == endpoint) return &slot;
    names.push_back(slot.member.name);
  }
  return refuse(ErrorCode::kNotFound, "upstream " + entry.config.name + " has no endpoint " +
                                          endpoint + "; it has: " + joined(names));
}

std::string Directory::summary(const Entry& entry, const std::string& endpoint,
                               const std::string& what) const {
  const auto usable = std::count_if(entry.slots.begin(), entry.slots.end(),
                                    [](const Slot& slot) { return !slot.member.drained; });
  std::string text = "upstream " + entry.config.name + ": " + endpoint + " " + what;
  if (usable > 0) return text + "; " + std::to_string(usable) + " in use";
  text += "; none is in use now: requests are held for up to " +
          config::format_duration(entry.config.hold.timeout) + " each";
  return text;
}

Result<std::string> Directory::add(std::string_view upstream, const net::SocketAddress& address,
                                   uint32_t weight, uint32_t priority) {
  const auto entry = find_entry(upstream);
  if (!entry) return tl::unexpected(entry.error());
  Entry& to = **entry;
  const std::string name = address.text();
  if (find_slot(to, name)) {
    return refuse(ErrorCode::kInvalid, "upstream " + to.config.name + " has " + name +
                                           " already; weight and undrain change it");
  }
  if (to.slots.size() >= kMostMembers || to.orders.weights.size() >= kMostMembers)
    return too_many();
  // Removed by order before: what is added counts now, not what the file says of it.
  to.orders.removed.erase(name);
  to.orders.drained.erase(name);
  to.orders.weights[name] = weight;
  std::erase_if(to.orders.added, [&name](const Member& member) { return member.name == name; });
  to.orders.added.push_back({address, name, weight, priority, false, "live"});
  renew(to, nullptr);
  std::string said = summary(to, name,
                             "added, weight " + std::to_string(weight) +
                                 (priority > 0 ? ", priority " + std::to_string(priority) : ""));
  log_.info("by order: " + said);
  return said;
}

Result<std::string> Directory::remove(std::string_view upstream, const std::string& endpoint) {
  const auto entry = find_entry(upstream);
  if (!entry) return tl::unexpected(entry.error());
  Entry& from = **entry;
  const auto slot = find_slot(from, endpoint);
  if (!slot) return tl::unexpected(slot.error());
  if (from.orders.removed.size() >= kMostMembers) return too_many();
  std::erase_if(from.orders.added,
                [&endpoint](const Member& member) { return member.name == endpoint; });
  from.orders.drained.erase(endpoint);
  from.orders.weights.erase(endpoint);
  from.orders.removed.insert(endpoint);
  renew(from, nullptr);
  std::string said = summary(from, endpoint, "removed");
  log_.info("by order: " + said);
  return said;
}

Result<std::string> Directory::drain(std::string_view upstream, const std::string& endpoint) {
  const auto entry = find_entry(upstream);
  if (!entry) return tl::unexpected(entry.error());
  Entry& at = **entry;
  const auto slot = find_slot(at, endpoint);
  if (!slot) return tl::unexpected(slot.error());
  if (at.orders.drained.size() >= kMostMembers) return too_many();
  at.orders.drained.insert(endpoint);
  renew(at, nullptr);
  std::string said = summary(at, endpoint, "drains: what runs there ends, nothing new is sent");
  log_.info("by order: " + said);
  return said;
}

Result<std::string> Directory::undrain(std::string_view upstream, const std::string& endpoint) {
  const auto entry = find_entry(upstream);
  if (!entry) return tl::unexpected(entry.error());
  Entry& at = **entry;
  const auto slot = find_slot(at, endpoint);
  if (!slot) return tl::unexpected(slot.error());
  if (at.orders.drained.erase(endpoint) == 0) {
    return refuse(ErrorCode::kInvalid, endpoint + " does not drain by order");
  }
  renew(at, nullptr);
  std::string said = summary(at, endpoint, "is used again");
  log_.info("by order: " + said);
  return said;
}

Result<std::string> Directory::set_weight(std::string_view upstream, const std::string& endpoint,
                                          uint32_t weight) {
  const auto entry = find_entry(upstream);
  if (!entry) return tl::unexpected(entry.error());
  Entry& at = **entry;
  const auto slot = find_slot(at, endpoint);
  if (!slot) return tl::unexpected(slot.error());
  if (at.orders.weights.size() >= kMostMembers) return too_many();
  at.orders.weights[endpoint] = weight;
  renew(at, nullptr);
  std::string said = summary(at, endpoint, "has weight " + std::to_string(weight));
  log_.info("by order: " + said);
  return said;
}

std::vector<UpstreamView> Directory::view() const {
  std::vector<UpstreamView> all;
  for (const auto& [name, entry] : entries_) {
    UpstreamView one{name, entry.config.protocol, {}, {}};
    for (const Slot& slot : entry.slots) {
      one.endpoints.push_back({slot.endpoint, slot.member.source, false});
    }
    for (const Leaving& leaving : leaving_) {
      if (leaving.upstream == name) one.endpoints.push_back({leaving.endpoint, "", true});
    }
    for (const auto& discovery : entry.discoveries) {
      one.names.push_back({discovery->text(), discovery->found().size(), discovery->trouble()});
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace sluice::upstream
