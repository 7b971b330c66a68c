// Endpoints of an upstream: addresses and names, each by itself or with its weight and priority.
#include <optional>

#include <fmt/format.h>

#include "proxy/config/endpoint_text.h"
#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr size_t kMostEndpoints = 1000;
constexpr uint32_t kMostShare = 65535;  // as in an SRV record (RFC 2782)

std::optional<EndpointSource> read_source(const Node& at, Faults& faults) {
  auto source = parse_endpoint(at.scalar);
  if (source) return std::move(*source);
  faults.add(at, source.error().detail);
  return std::nullopt;
}

std::optional<EndpointSource> read_source(MapReader& map) {
  const Node* address = map.scalar("address");
  if (!map.has("address")) {
    map.fault("", "has no address; write { address: \"127.0.0.1:8000\", weight: 2 }");
  }
  auto source = address == nullptr ? std::nullopt : read_source(*address, map.faults());
  EndpointSource rest;
  map.number("weight", rest.weight, 1, kMostShare);
  map.number("priority", rest.priority, 0, kMostShare);
  bool is_backup = false;
  map.flag("backup", is_backup);
  if (map.has("backup") && map.has("priority")) {
    map.fault("backup", "says the same as priority: 1; keep one of them");
  }
  if (is_backup) rest.priority = 1;
  if (!source) return std::nullopt;
  if (source->kind == EndpointSource::Kind::kSrv && map.has("weight")) {
    map.fault("weight", "is brought by the SRV records; leave it out");
  }
  source->weight = rest.weight;
  source->priority = rest.priority;
  return source;
}

}  // namespace

void read_endpoints(MapReader& map, std::vector<EndpointSource>& into) {
  size_t count = 0;
  const auto add = [&map, &into](const Node& at, std::optional<EndpointSource> source) {
    if (!source || into.size() >= kMostEndpoints) return;
    for (const auto& other : into) {
      if (!is_same_endpoint(other, *source)) continue;
      return map.faults().add(at, fmt::format("{} is given twice",
                                              at.is_scalar() ? at.scalar
                                                             : format_endpoint(*source)));
    }
    into.push_back(std::move(*source));
  };
  const bool all_read = map.values_or_sections(
      "endpoints", "an address, or a map { address: … }",
      [&map, &add, &count](const Node& item) {
        ++count;
        add(item, read_source(item, map.faults()));
      },
      [&add, &count](MapReader& item) {
        ++count;
        add(item.node(), read_source(item));
      });
  if (all_read && count == 0) {
    map.fault("endpoints", "none given; write at least one, as in [127.0.0.1:8000] or "
                           "[\"unix:/run/app.sock\"]");
  }
  if (count > kMostEndpoints) {
    map.fault("endpoints", fmt::format("are {}; {} is the most", count, kMostEndpoints));
  }
}

}  // namespace sluice::config
