// What is asked of an endpoint, and what its answers to the clients' requests say of it.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr size_t kLongestTarget = 2048;
constexpr size_t kLongestHost = 255;
constexpr size_t kLongestBody = 4096;
constexpr size_t kMostRanges = 32;
constexpr int kLeastStatus = 200;  // those below are not the answer yet (RFC 9110 §15.2)
constexpr int kMostStatus = 599;

// Goes into the request as it is: visible ASCII, so that it stays one word of one line.
bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::optional<std::pair<int, int>> parse_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto from = parse_decimal(trim_ows(text.substr(0, dash)));
  const auto to = dash == std::string_view::npos ? from
                                                 : parse_decimal(trim_ows(text.substr(dash + 1)));
  if (!from || !to || *from < kLeastStatus || *to > kMostStatus || *from > *to) return std::nullopt;
  return std::pair{static_cast<int>(*from), static_cast<int>(*to)};
}

void read_status(MapReader& map, std::vector<std::pair<int, int>>& into) {
  const auto items = read_items(map, "status");
  if (items.empty() && !map.has("status")) return;
  if (items.empty() || items.size() > kMostRanges) {
    return map.fault("status", fmt::format("are {}; 1 to {} are wanted, as in [200-399, 404]",
                                           items.size(), kMostRanges));
  }
  into.clear();
  for (const auto& item : items) {
    if (const auto range = parse_range(item.scalar)) {
      into.push_back(*range);
    } else {
      map.faults().add(item, fmt::format("\"{}\" is no status; write {} to {}, or a range of them "
                                         "as in 200-399", item.scalar, kLeastStatus, kMostStatus));
    }
  }
}

void read_question(MapReader& map, HealthCheck& into) {
  map.text("path", into.path);
  const bool is_target = !into.path.empty() && into.path.front() == '/' && is_visible(into.path) &&
                         into.path.find('#') == std::string::npos &&
                         into.path.size() <= kLongestTarget;
  if (map.has("path") && !is_target) {
    map.fault("path", fmt::format("is no target of a request; it begins with / and has at most {} "
                                  "characters of ASCII, others encoded as in %20", kLongestTarget));
  }
  map.text("method", into.method);
  const bool has_lower = std::any_of(into.method.begin(), into.method.end(),
                                     [](char c) { return c >= 'a' && c <= 'z'; });
  if (!is_token(into.method) || has_lower || into.method == "CONNECT") {
    map.fault("method", fmt::format("\"{}\" cannot ask for a path; write GET or HEAD",
                                    into.method));
  }
  map.text("host", into.host);
  if (into.host.empty() || into.host.size() > kLongestHost || !is_visible(into.host)) {
    map.fault("host", "is no value for the Host field; write localhost or app.example.com");
  }
  read_status(map, into.status);
  map.text("body", into.body);
  if (into.body.size() > kLongestBody) {
    map.fault("body", fmt::format("has {} bytes; {} is the most", into.body.size(), kLongestBody));
  }
  if (!into.body.empty() && into.method == "HEAD") {
    map.fault("body", "never comes in answer to HEAD; write method: GET");
  }
}

void read_pace(MapReader& map, HealthCheck& into) {
  map.duration("interval", into.interval, 10ms);
  map.duration("fast_interval", into.fast_interval, 10ms);
  map.duration("timeout", into.timeout, 10ms);
  map.number("rise", into.rise, 1, 1000);
  map.number("fall", into.fall, 1, 1000);
  map.percent("jitter", into.jitter);
  const int initial = map.choice("initial", {"up", "down"});
  if (initial >= 0) into.up_at_first = initial == 0;
  // An interval below the default of the fast one means both.
  if (!map.has("fast_interval")) into.fast_interval = std::min(into.fast_interval, into.interval);
  check_order(map, "fast_interval", into.fast_interval, "interval", into.interval);
}

void read_check(MapReader& map, HealthCheck& into) {
  const int type = map.choice("type", {"request", "tcp"});
  read_question(map, into);
  read_pace(map, into);
  if (type < 0 && map.has("type")) return;  // told already
  if (type == 1) {
    for (const auto* name : {"path", "method", "host", "status", "body"}) {
      if (map.has(name)) map.fault(name, "is asked by type: request only; keep one of them");
    }
    into.kind = HealthCheck::Kind::kTcp;
    return;
  }
  if (!map.has("path")) {
    return map.fault("", "does not say what to check; write { path: /health } or { type: tcp }");
  }
  into.kind = HealthCheck::Kind::kRequest;
}

}  // namespace

void read_health(MapReader& map, HealthCheck& into) {
  map.section_or_off(
      "health", "{ path: /health }", [&into](MapReader& m) { read_check(m, into); },
      [&into] { into.kind = HealthCheck::Kind::kOff; });
}

void read_ejection(MapReader& map, Ejection& into) {
  const auto off = [&into] {
    into.errors = into.rate = 0;
    into.latency = Duration{0};
  };
  const auto read = [&into](MapReader& m) {
    m.number("errors", into.errors, 1, 100'000, "off");
    m.percent("rate", into.rate, "off");
    m.duration("latency", into.latency, 1ms, "off");
    m.number("requests", into.requests, 1, 1'000'000);
    m.duration("interval", into.interval, 10ms);
    m.duration("time", into.time, 10ms);
    m.duration("max_time", into.max_time, 10ms);
    m.percent("most", into.most);
    check_order(m, "time", into.time, "max_time", into.max_time);
  };
  map.section_or_off("ejection", "{ errors: 5 }", read, off);
}

}  // namespace sluice::config
