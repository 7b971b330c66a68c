#include "proxy/config/check.h"

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/units.h"

namespace sluice::config {
namespace {

constexpr Duration kEcsStop = 30s;  // then the task is killed

// At "drain", "max", or as near as the file has it.
void add_at(const Node& root, std::string_view section, std::string_view name,
            std::string_view what, Faults& faults) {
  const Node* outer = root.find(section);
  const Node* inner = outer == nullptr || name.empty() ? nullptr : outer->find(name);
  const Node& near = inner != nullptr ? *inner : outer != nullptr ? *outer : root;
  const auto key = name.empty() ? std::string{section} : fmt::format("{}.{}", section, name);
  faults.add(near.file, near.line, key, what);
}

bool is_any_ipv4(const Address& a) { return a.host_or_path == "0.0.0.0"; }
bool is_ipv4(const Address& a) { return a.host_or_path.find(':') == std::string::npos; }

// Whether binding one keeps the other from being bound.
bool collide(const Address& a, const Address& b) {
  if (a.text.empty() || b.text.empty() || a.is_unix != b.is_unix) return false;
  if (a.is_unix) return a.host_or_path == b.host_or_path;
  if (a.port != b.port || a.port == 0) return false;
  if (a.host_or_path == b.host_or_path) return true;
  return is_ipv4(a) && is_ipv4(b) && (is_any_ipv4(a) || is_any_ipv4(b));
}

void check_listeners(const Node& root, const Config& config, Faults& faults) {
  if (config.listeners.empty()) {
    add_at(root, "listeners", "", "there is none; write listeners: [ { address: 0.0.0.0:8080 } ]",
           faults);
  }
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const auto& [address, place] = std::tie(config.listeners[i].address, config.listeners[i].place);
    const auto fault = [&faults, &at = place, i](const std::string& what) {
      faults.add(at.file, at.line, fmt::format("listeners[{}].address", i), what);
    };
    for (size_t j = 0; j < i; ++j) {
      const auto& other = config.listeners[j];
      if (collide(address, other.address)) {
        fault(fmt::format("{} is taken by listeners[{}] ({})", address.text, j,
                          other.address.text));
      }
    }
    if (config.metrics.address && collide(address, *config.metrics.address)) {
      fault(fmt::format("{} is taken by metrics.address ({}); move one of them", address.text,
                        config.metrics.address->text));
    }
    if (address.is_unix && address.host_or_path == config.admin.socket) {
      fault(fmt::format("{} is admin.socket; move one of them", address.text));
    }
  }
}

// What a route is found by, written so that equal matches are equal texts.
std::string match_of(const Route& route) {
  std::string match = route.host + "\n";
  match += !route.exact.empty() ? "=" + route.exact
           : !route.regex.empty() ? "~" + route.regex
                                  : "^" + route.path;
  const std::set<std::string> methods{route.methods.begin(), route.methods.end()};
  for (const auto& method : methods) match += "\n" + method;
  std::set<std::string> headers;
  for (const auto& [name, value] : route.headers) {
    headers.insert(to_lower(name) + (value ? ":" + *value : ""));
  }
  for (const auto& header : headers) match += "\n" + header;
  return match;
}

void check_routes(const Node& root, const Config& config, Faults& faults) {
  if (config.routes.empty()) {
    add_at(root, "routes", "", "there is none; write routes: [ { path: /, upstream: app } ]",
           faults);
  }
  std::unordered_map<std::string, size_t> matches;
  std::unordered_map<std::string, size_t> names;
  for (size_t i = 0; i < config.routes.size(); ++i) {
    const Route& route = config.routes[i];
    const auto key = fmt::format("routes[{}]", i);
    const auto [same, is_new] = matches.try_emplace(match_of(route), i);
    if (!is_new) {
      const Place& first = config.routes[same->second].place;
      faults.add(route.place.file, route.place.line, key,
                 fmt::format("matches the same requests as routes[{}] ({}:{}) and would never be "
                             "used", same->second, first.file, first.line));
    }
    if (route.name.empty()) continue;
    const auto [namesake, is_first] = names.try_emplace(route.name, i);
    if (!is_first) {
      faults.add(route.place.file, route.place.line, key + ".name",
                 fmt::format("\"{}\" is already the name of routes[{}]", route.name,
                             namesake->second));
    }
  }
}

void check_drain(const Node& root, const Drain& drain, Faults& faults, Faults& notes) {
  const auto in_order = [&root, &faults](std::string_view name, Duration first,
                                         std::string_view other, Duration second) {
    if (first <= second) return;
    const auto what = fmt::format("{} is longer than drain.{} ({})", format_duration(first), other,
                                  format_duration(second));
    add_at(root, "drain", name, what, faults);
  };
  in_order("min", drain.min, "max", drain.max);
  in_order("quiet", drain.quiet, "max", drain.max);
  in_order("max", drain.max, "deadline", drain.deadline);
  if (drain.deadline < kEcsStop) return;
  const auto what = fmt::format("{} is not below the 30s after which ECS kills a task; raise its "
                                "stopTimeout, too", format_duration(drain.deadline));
  add_at(root, "drain", "deadline", what, notes);
}

void note_times(const Config& config, Faults& notes) {
  std::unordered_map<std::string, const Upstream*> upstreams;
  for (const auto& upstream : config.upstreams) upstreams[upstream.name] = &upstream;
  for (size_t i = 0; i < config.routes.size(); ++i) {
    const Route& route = config.routes[i];
    const auto found = upstreams.find(route.upstream);
    const Duration request = route.timeouts.request;
    if (found == upstreams.end() || request.count() == 0) continue;
    if (request >= found->second->hold.timeout) continue;
    notes.add(route.place.file, route.place.line, fmt::format("routes[{}].timeouts.request", i),
              fmt::format("{} ends a request before upstreams.{}.hold.timeout ({}) gives it up",
                          format_duration(request), route.upstream,
                          format_duration(found->second->hold.timeout)));
  }
}

void note_idle_upstreams(const Config& config, Faults& notes) {
  std::unordered_set<std::string> used;
  for (const auto& route : config.routes) {
    used.insert(route.upstream);
    used.insert(route.files.fallback);
  }
  for (const auto& upstream : config.upstreams) {
    if (used.count(upstream.name) != 0) continue;
    notes.add(upstream.place.file, upstream.place.line, "upstreams." + upstream.name,
              "no route leads to it");
  }
}

}  // namespace

void check(const Node& root, const Config& config, Faults& faults, Faults& notes) {
  check_listeners(root, config, faults);
  check_routes(root, config, faults);
  check_drain(root, config.drain, faults, notes);
  note_times(config, notes);
  note_idle_upstreams(config, notes);
}

void name_routes(std::vector<Route>& routes) {
  std::unordered_set<std::string> taken;
  for (const auto& route : routes) taken.insert(route.name);
  for (auto& route : routes) {
    if (!route.name.empty()) continue;
    const std::string& match = !route.exact.empty()   ? route.exact
                               : !route.regex.empty() ? route.regex
                                                      : route.path;
    const std::string plain = route.host + match;
    route.name = plain;
    for (size_t n = 2; !taken.insert(route.name).second; ++n) {
      route.name = fmt::format("{} #{}", plain, n);
    }
  }
}

}  // namespace sluice::config
