#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr std::array kActions = {"upstream", "static", "redirect", "respond"};
constexpr size_t kMostFilters = 32;

// A path to compare with the normalized one of a request: what that never holds would never match.
void check_path(MapReader& map, std::string_view name, const std::string& path) {
  if (path.empty() || path.front() != '/') {
    return map.fault(name, fmt::format("\"{}\" does not begin with /", path));
  }
  check_printable(map, name, path);
  if (path.find_first_of("?#") != std::string::npos) {
    return map.fault(name, fmt::format("\"{}\": a route is found by the path alone; leave out what "
                                       "follows ? or #",
                                       path));
  }
  const auto segments = split(path, '/');
  for (size_t i = 1; i < segments.size(); ++i) {
    const bool is_last = i + 1 == segments.size();
    if (segments[i] == "." || segments[i] == ".." || (segments[i].empty() && !is_last)) {
      return map.fault(name, fmt::format("\"{}\": no request has such a path: //, /./ and /../ are "
                                         "resolved before",
                                         path));
    }
  }
  for (size_t at = path.find('%'); at != std::string::npos; at = path.find('%', at + 1)) {
    if (path.compare(at, 3, "%2F") != 0) {
      return map.fault(name, fmt::format("\"{}\": write it decoded, as it is compared (only %2F "
                                         "stays encoded)",
                                         path));
    }
  }
}

void check_host(MapReader& map, std::string& host) {
  host = to_lower(host);
  std::string_view rest = host;
  if (rest.substr(0, 2) == "*.") rest.remove_prefix(2);
  if (rest.find('*') != std::string_view::npos) {
    return map.fault("host", fmt::format("\"{}\": a * stands for the first label only, as in "
                                         "*.example.com; leave the key out for every host",
                                         host));
  }
  if (!rest.empty() && rest.front() == '[') return;  // an IPv6 literal
  if (rest.find(':') != std::string_view::npos) {
    return map.fault("host", fmt::format("\"{}\": write the name only; no scheme, no port", host));
  }
  const bool clean = !rest.empty() && std::all_of(rest.begin(), rest.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_';
  });
  if (!clean) map.fault("host", fmt::format("\"{}\" is no host name", host));
}

void read_methods(MapReader& map, std::vector<std::string>& into) {
  for (const auto& item : read_items(map, "methods")) {
    const bool has_lower = std::any_of(item.scalar.begin(), item.scalar.end(),
                                       [](char c) { return c >= 'a' && c <= 'z'; });
    if (!is_token(item.scalar) || has_lower) {
      map.faults().add(item, fmt::format("\"{}\" is no method; they are written in capitals, as in "
                                         "GET",
                                         item.scalar));
    }
    into.push_back(item.scalar);
  }
}

void add_condition(MapReader& map, const Node& at, const std::string& name,
                   std::optional<std::string> value, std::vector<HeaderCondition>& into) {
  if (!is_token(name)) {
    return map.faults().add(at, fmt::format("\"{}\" is no name of a header field", name));
  }
  into.push_back({name, std::move(value)});
}

void read_headers(MapReader& map, std::vector<HeaderCondition>& into) {
  const Node* found = map.child("headers");
  if (found == nullptr) return;
  if (found->is_scalar()) return add_condition(map, *found, found->scalar, std::nullopt, into);
  for (const auto& item : found->items) {
    add_condition(map, item, item.scalar, std::nullopt, into);
  }
  for (const auto& [name, value] : found->entries) {
    if (value.is_list() || value.is_map()) {
      map.faults().add(value, "a single value is wanted; list the name ([X-A]) for any value");
    } else {
      add_condition(map, value, name, value.is_null() ? std::nullopt : std::optional{value.scalar},
                    into);
    }
  }
}

void read_match(MapReader& map, Route& into) {
  map.text("host", into.host);
  if (!into.host.empty()) check_host(map, into.host);
  map.text("path", into.path);
  map.text("exact", into.exact);
  map.text("regex", into.regex);
  const int given = map.has("path") + map.has("exact") + map.has("regex");
  if (given > 1) map.fault("", "path, exact and regex exclude each other; keep one of them");
  if (map.has("path")) check_path(map, "path", into.path);
  if (map.has("exact")) check_path(map, "exact", into.exact);
  if (map.has("regex") && into.regex.empty()) map.fault("regex", "is empty");
  check_printable(map, "regex", into.regex);
  read_methods(map, into.methods);
  read_headers(map, into.headers);
  map.flag("internal", into.internal);
}

void read_redirect(MapReader& map, Redirect& into) {
  const Node* found = map.child("redirect");
  if (found != nullptr && found->is_scalar()) into.to = found->scalar;
  if (found == nullptr || !found->is_scalar()) {
    map.section("redirect", [&into](MapReader& m) {
      m.text("to", into.to);
      const int status = m.choice("status", {"301", "302", "303", "307", "308"});
      constexpr std::array kStatuses = {301, 302, 303, 307, 308};
      if (status >= 0) into.status = kStatuses[static_cast<size_t>(status)];
    });
  }
  if (found == nullptr) return;
  const auto scheme = into.to.substr(0, into.to.find("://"));
  if (into.to.empty() || (into.to[0] != '/' && into.to[0] != '$' && scheme == into.to)) {
    map.fault("redirect", "names no target; write /path or https://host/path");
  }
  check_printable(map, "redirect", into.to);
  for (size_t at = into.to.find('$'); at != std::string::npos; at = into.to.find('$', at + 1)) {
    const auto rest = std::string_view{into.to}.substr(at + 1);
    const auto name = rest.substr(0, rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz"));
    const std::array kKnown = {"host", "target", "path", "query", "rest"};
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end()) {
      map.fault("redirect",
                fmt::format("\"${}\" is none of $host, $target, $path, $query, $rest", name));
    }
  }
}

void read_respond(MapReader& map, Respond& into) {
  map.section("respond", [&into](MapReader& m) {
    uint32_t status = 200;
    m.number("status", status, 200, 599);
    into.status = static_cast<int>(status);
    m.text("body", into.body);
    m.text("content_type", into.content_type);
    check_printable(m, "content_type", into.content_type);
    const int health = m.choice("health", {"live", "ready"});
    if (health >= 0) into.health = health == 0 ? Health::kLive : Health::kReady;
    if (into.health != Health::kNone && m.has("status")) {
      m.fault("status", "is decided by health (200 or 503); leave it out");
    }
    const bool bodiless = status == 204 || status == 205 || status == 304;
    if (bodiless && !into.body.empty()) {
      m.fault("body", fmt::format("{} has no body (RFC 9110 §6.4.1)", status));
    }
  });
}

void read_action(MapReader& map, const Scene& scene, const std::vector<Upstream>& upstreams,
                 Route& into) {
  std::vector<std::string_view> given;
  for (const char* action : kActions) {
    if (map.has(action)) given.emplace_back(action);
  }
  read_upstream_name(map, "upstream", upstreams, into.upstream);
  map.section("static", [&scene, &upstreams, &into](MapReader& m) {
    read_static(m, scene, upstreams, into.files);
  });
  read_redirect(map, into.redirect);
  read_respond(map, into.respond);
  if (given.size() != 1) {
    return map.fault(
        "", given.empty()
                ? "does nothing; give one of upstream, static, redirect, respond"
                : fmt::format("has both {} and {}; a route does one thing", given[0], given[1]));
  }
  const auto index = std::find(kActions.begin(), kActions.end(), given[0]) - kActions.begin();
  into.action = static_cast<Action>(index);
}

void read_filters(MapReader& map, const Scene& scene, std::vector<Filter>& into) {
  const Node* found = map.child("filters");
  if (found == nullptr) return;
  if (!found->is_list()) {
    return map.faults().add(*found, "a list is wanted: [ { headers: { … } }, { compress: } ]");
  }
  if (found->items.size() > kMostFilters) {
    return map.faults().add(
        *found, fmt::format("are {}; {} is the most", found->items.size(), kMostFilters));
  }
  for (const auto& item : found->items) {
    if (!item.is_map() || item.entries.size() != 1) {
      map.faults().add(item, "a filter is a map with one key, its name: { compress: {} }");
      continue;
    }
    const auto& [name, settings] = item.entries.front();
    into.push_back({name, settings, place_of(settings)});
    if (scene.filters == nullptr) continue;
    const auto names = scene.filters->names();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      map.faults().add(settings, fmt::format("there is no such filter{}", suggest(name, names)));
    } else {
      scene.filters->check(into.back(), map.faults());
    }
  }
}

void read_forwarding(MapReader& map, const std::vector<Upstream>& upstreams, Route& into) {
  map.text("strip_prefix", into.strip_prefix);
  std::string replacement;
  map.text("replace_prefix", replacement);
  if (map.has("strip_prefix")) check_path(map, "strip_prefix", into.strip_prefix);
  if (map.has("replace_prefix")) {
    check_path(map, "replace_prefix", replacement);
    into.replace_prefix = replacement;
    if (map.has("strip_prefix")) map.fault("replace_prefix", "excludes strip_prefix; keep one");
    if (map.has("regex")) map.fault("replace_prefix", "needs a path; a regex has no prefix");
  }
  // A partial map starts from what the upstream says.
  Buffering buffering;
  for (const auto& upstream : upstreams) {
    if (upstream.name == into.upstream) buffering = upstream.buffering;
  }
  read_buffering(map, buffering);
  if (map.has("buffering")) into.buffering = buffering;
  map.section("retry", [&into](MapReader& m) {
    read_methods(m, into.retry.methods);
    m.flag("idempotency_key", into.retry.idempotency_key);
    for (const auto* name : {"attempts", "budget", "backoff", "max_backoff", "per_try"}) {
      m.misplaced(name, "it with the upstream: upstreams: { app: { retry: { attempts: 2 } } }");
    }
  });
  map.section("tunnel", [&into](MapReader& m) {
    m.duration("idle", into.tunnel.idle, 10ms, "off");
    m.duration("max_age", into.tunnel.max_age, 10ms, "off");
    m.number("connections", into.tunnel.connections, 1, 10'000'000);
  });
  if (into.action == Action::kUpstream) return;
  for (const auto* name : {"strip_prefix", "replace_prefix", "buffering", "retry", "tunnel"}) {
    if (map.has(name)) map.fault(name, "is for routes to an upstream; leave it out here");
  }
}

}  // namespace

void read_route(MapReader& map, const Scene& scene, const std::vector<Upstream>& upstreams,
                Route& into) {
  into.place = place_of(map.node());
  map.text("name", into.name);
  if (map.has("name")) check_printable(map, "name", into.name);
  read_match(map, into);
  read_action(map, scene, upstreams, into);
  read_forwarding(map, upstreams, into);
  map.section("timeouts",
              [&into](MapReader& m) { m.duration("request", into.timeouts.request, 10ms, "off"); });
  Bytes body{0};
  map.bytes("body", body);
  if (map.has("body")) into.body = body;
  read_filters(map, scene, into.filters);
}

}  // namespace sluice::config
