// Where the process learns what the file does not say: name servers, the file's own changes, a URL
// that replaces it, the metadata of the ECS task.
#include <optional>

#include <fmt/format.h>

#include "proxy/config/http_url.h"
#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr size_t kMostServers = 8;
constexpr uint16_t kDnsPort = 53;
constexpr size_t kLongestSecret = 8192;

std::optional<Address> parse_server(const std::string& text) {
  if (parse_ip(text)) return Address{text, false, text, kDnsPort};
  auto address = parse_address(text, AddressUse::kConnect);
  if (!address || address->is_unix) return std::nullopt;
  return std::move(*address);
}

void read_servers(MapReader& map, std::vector<Address>& into) {
  const auto items = read_items(map, "servers");
  if (items.size() > kMostServers) {
    return map.fault("servers", fmt::format("are {}; {} is the most", items.size(), kMostServers));
  }
  for (const auto& item : items) {
    if (auto server = parse_server(item.scalar)) {
      into.push_back(std::move(*server));
    } else {
      map.faults().add(item, fmt::format("\"{}\" is no address of a name server; write 10.0.0.2, "
                                         "10.0.0.2:53 or [fd00::2]:53", item.scalar));
    }
  }
}

void read_resolver(MapReader& map, Resolver& into) {
  read_servers(map, into.servers);
  map.duration("timeout", into.timeout, 10ms);
  map.number("tries", into.tries, 1, 10);
  map.duration("min_ttl", into.min_ttl, 10ms);
  map.duration("max_ttl", into.max_ttl, 10ms);
  map.duration("retry", into.retry, 10ms);
  check_order(map, "min_ttl", into.min_ttl, "max_ttl", into.max_ttl);
}

void read_poll(MapReader& map, Poll& into) {
  map.text("url", into.url);
  if (into.url == "off") into.url.clear();
  if (map.has("url") && !into.url.empty()) {
    const auto url = parse_http_url(into.url);
    if (!url) map.fault("url", url.error().detail);
  }
  map.duration("interval", into.interval, 100ms);
  map.text("authorization", into.authorization);
  // A secret: what is wrong with it is said without it.
  check_printable(map, "authorization", into.authorization);
  if (into.authorization.size() > kLongestSecret) {
    map.fault("authorization", fmt::format("has {} bytes; {} is the most",
                                           into.authorization.size(), kLongestSecret));
  }
}

}  // namespace

void read_sources(MapReader& map, Config& into) {
  map.section("resolver", [&into](MapReader& m) { read_resolver(m, into.resolver); });
  map.flag("watch", into.watch);
  map.section("poll", [&into](MapReader& m) { read_poll(m, into.poll); });
  map.section("ecs", [&into](MapReader& m) {
    m.flag("metadata", into.ecs.metadata);
    m.duration("interval", into.ecs.interval, 100ms);
    m.text("application", into.ecs.application);
    check_printable(m, "application", into.ecs.application);
  });
}

}  // namespace sluice::config
