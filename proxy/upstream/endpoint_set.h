// EndpointSet: which addresses an upstream has at this moment: what its configuration lists, what
// its names stand for, what was ordered live; each once, in a steady order. Pure; used by the
// Directory.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "proxy/config/upstream.h"
#include "proxy/upstream/discovery.h"

namespace sluice::upstream {

constexpr size_t kMostMembers = 1000;  // of one upstream

struct Member {
  net::SocketAddress address;
  std::string name;  // "127.0.0.1:8000"
  uint32_t weight = 1;
  uint32_t priority = 0;
  bool drained = false;  // by order
  std::string source;    // "file", "dns://app:8000", "live"
};

// What was ordered beside the configuration; by the names of addresses. Each bounded by
// kMostMembers, by whoever gives the order.
struct LiveOrders {
  std::vector<Member> added;
  std::set<std::string> removed;
  std::set<std::string> drained;
  std::map<std::string, uint32_t> weights;

  bool is_empty() const {
    return added.empty() && removed.empty() && drained.empty() && weights.empty();
  }
};

// What the name in a source stands for; null: not known yet.
using FindNames = std::function<const std::vector<Found>*(const config::EndpointSource&)>;

// The first mention of an address counts. Sources that are no address fall out: the configuration's
// check has named them.
std::vector<Member> members_of(const std::vector<config::EndpointSource>& sources,
                               const FindNames& names, const LiveOrders& orders);

}  // namespace sluice::upstream
