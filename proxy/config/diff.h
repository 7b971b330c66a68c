// Diff: what is different between two configurations, key by key, as one finds it by reading their
// dumps (config/dump): effective values, defaults included, secrets left out. Listeners are known
// by their address, routes and upstreams by their name, endpoints by their address. Pure functions;
// any thread.
#pragma once

#include <string>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/node.h"

namespace sluice::config {

struct Change {
  enum class Kind : uint8_t { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kChanged;
  std::string section;  // a top-level key: "listeners", "routes", "upstreams", "drain"
  std::string subject;  // which listener, route or upstream; empty: the section has only one
  std::string key;      // within it ("limits.body", "endpoints"); empty: all of it
  std::string before;   // as it is written; empty when added
  std::string after;    // the same; empty when removed
  bool operator==(const Change&) const = default;
};

// What dump() wrote, as a tree. Any YAML will do.
Result<Node> tree_of(const std::string& dump);

// In the order of the sections of `after`, what is gone behind what is there. Routes of the same
// names in another order are one change of "routes" with the key "order".
std::vector<Change> diff(const Node& before, const Node& after);

}  // namespace sluice::config
