// The values that several readers share.
#include <algorithm>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/readers.h"
#include "proxy/config/units.h"

namespace sluice::config {

Place place_of(const Node& node) { return {node.file, node.line}; }

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
           std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
  });
}

void read_address(MapReader& map, std::string_view name, AddressUse use, Address& into) {
  const Node* found = map.scalar(name);
  if (found == nullptr) return;
  auto address = parse_address(found->scalar, use);
  if (!address) return map.faults().add(*found, address.error().detail);
  into = std::move(*address);
}

void read_buffering(MapReader& map, Buffering& into) {
  const Node* found = map.child("buffering");
  if (found != nullptr && found->is_scalar()) {
    const auto value = parse_flag(found->scalar);
    if (!value) {
      return map.faults().add(*found, fmt::format("\"{}\" is neither on nor off, nor a map "
                                                  "{{ request: on, response: off }}",
                                                  found->scalar));
    }
    into.request = into.response = *value;
    return;
  }
  map.section("buffering", [&into](MapReader& inner) {
    inner.flag("request", into.request);
    inner.flag("response", into.response);
    inner.bytes("memory", into.memory, 4_KiB);
    inner.bytes("disk", into.disk);
  });
}

std::vector<Node> read_items(MapReader& map, std::string_view name) {
  const Node* found = map.child(name);
  std::vector<Node> items;
  if (found == nullptr) return items;
  if (found->is_map()) map.faults().add(*found, "is a map, a list is wanted: [a, b]");
  if (found->is_scalar()) {
    for_each_element(found->scalar, [&items, found](std::string_view element) {
      items.push_back(*found);
      items.back().scalar = element;
    });
  }
  for (const auto& item : found->items) {
    if (item.is_scalar()) {
      items.push_back(item);
    } else {
      map.faults().add(item, "a single value is wanted");
    }
  }
  return items;
}

void read_upstream_name(MapReader& map, std::string_view name,
                        const std::vector<Upstream>& upstreams, std::string& into) {
  const Node* found = map.scalar(name);
  if (found == nullptr) return;
  into = found->scalar;
  std::vector<std::string_view> names;
  for (const auto& upstream : upstreams) names.push_back(upstream.name);
  if (std::find(names.begin(), names.end(), into) != names.end()) return;
  map.faults().add(*found, names.empty()
                               ? fmt::format("there is no upstream \"{}\", nor any other", into)
                               : fmt::format("there is no upstream \"{}\"{}", into,
                                             suggest(into, names)));
}

void check_absolute(MapReader& map, std::string_view name, const std::string& path) {
  if (!path.empty() && path.front() == '/') return;
  map.fault(name, fmt::format("\"{}\" is not an absolute path (/…)", path));
}

void check_order(MapReader& map, std::string_view name, Duration least, std::string_view other,
                 Duration most) {
  if (least <= most) return;
  if (!map.has(name) && map.has(other)) {
    return map.fault(other, fmt::format("{} is shorter than {} ({})", format_duration(most), name,
                                        format_duration(least)));
  }
  map.fault(name, fmt::format("{} is longer than {} ({})", format_duration(least), other,
                              format_duration(most)));
}

void check_printable(MapReader& map, std::string_view name, const std::string& value) {
  const bool clean = std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (!clean) map.fault(name, "has a control character; leave it out");
}

}  // namespace sluice::config
