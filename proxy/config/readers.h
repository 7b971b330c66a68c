// Readers: one function per part of the configuration, from a map of the file to the plain struct.
// Each asks for every key it knows, so that describe_keys() and "did you mean" need no second list.
// They check what one value says; what two say together is check.h's. Used by load.cc only.
#pragma once

#include <string>
#include <vector>

#include "proxy/config/address.h"
#include "proxy/config/config.h"
#include "proxy/config/filter_check.h"
#include "proxy/config/node.h"

namespace sluice::config {

// What the readers have to know besides the text.
struct Scene {
  const FilterCheck* filters = nullptr;  // null: any filter is taken as it is
  bool check_files = true;               // folders that are named must be there
};

void read_config(MapReader& map, const Scene& scene, Config& into);
void read_process(MapReader& map, Config& into);  // workers, admin, metrics, drain, logs, limits
void read_sources(MapReader& map, Config& into);  // resolver, watch, poll, ecs
void read_listener(MapReader& map, Listener& into);
void read_tls(MapReader& map, Tls& into);
void read_upstream(MapReader& map, Upstream& into);
void read_fastcgi(MapReader& map, Fastcgi& into);
void read_endpoints(MapReader& map, std::vector<EndpointSource>& into);
void read_health(MapReader& map, HealthCheck& into);
void read_ejection(MapReader& map, Ejection& into);
// Requires: the upstreams are read, so that a route can name one and start from its buffering.
void read_route(MapReader& map, const Scene& scene, const std::vector<Upstream>& upstreams,
                Route& into);
void read_static(MapReader& map, const Scene& scene, const std::vector<Upstream>& upstreams,
                 StaticFiles& into);

// -- values several readers share --

void read_address(MapReader& map, std::string_view name, AddressUse use, Address& into);
// `off`, `on`, or a map.
void read_buffering(MapReader& map, Buffering& into);
// The values of a list; one scalar is split at its commas, so that a list fits into a variable.
std::vector<Node> read_items(MapReader& map, std::string_view name);
// The name of an upstream that exists, else a fault.
void read_upstream_name(MapReader& map, std::string_view name,
                        const std::vector<Upstream>& upstreams, std::string& into);
void check_absolute(MapReader& map, std::string_view name, const std::string& path);
// No control characters: the value goes as it is into a header field (RFC 9110 §5.5) or a label.
void check_printable(MapReader& map, std::string_view name, const std::string& value);
// One duration is not to be longer than another of the same map.
void check_order(MapReader& map, std::string_view name, Duration least, std::string_view other,
                 Duration most);
bool is_token(std::string_view text);  // RFC 9110 §5.6.2
Place place_of(const Node& node);

}  // namespace sluice::config
