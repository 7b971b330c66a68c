// The whole file, in the order its parts need each other.
#include <algorithm>

#include <fmt/format.h>

#include "proxy/config/readers.h"

namespace sluice::config {

void read_config(MapReader& map, const Scene& scene, Config& into) {
  map.child("include");  // already followed and taken out; known all the same
  read_process(map, into);
  read_sources(map, into);
  map.sections("listeners", [&into](MapReader& m) {
    read_listener(m, into.listeners.emplace_back());
  });
  map.named("upstreams", [&into](const std::string& name, MapReader& m) {
    Upstream& upstream = into.upstreams.emplace_back();
    upstream.name = name;
    read_upstream(m, upstream);
    if (!is_token(name)) {
      m.fault("", fmt::format("\"{}\" is no name; use letters, digits, - and _", name));
    }
  });
  map.sections("routes", [&into, &scene](MapReader& m) {
    read_route(m, scene, into.upstreams, into.routes.emplace_back());
  });
}

}  // namespace sluice::config
