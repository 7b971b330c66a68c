#include "proxy/route/path_index.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "proxy/route/regex_list.h"
#include "proxy/route/route.h"

namespace sluice::route {
namespace {

// More conditions first, then file order.
bool goes_before(const Route* a, const Route* b) {
  const auto rank = [](const Route* r) {
    return std::tuple{r->config.methods.empty(), -static_cast<int64_t>(r->config.headers.size()),
                      r->id};
  };
  return rank(a) < rank(b);
}

bool offer_bucket(const std::vector<const Route*>& bucket, Candidates& candidates) {
  return std::any_of(bucket.begin(), bucket.end(),
                     [&candidates](const Route* route) { return candidates.on_candidate(*route); });
}

void seal_bucket(std::vector<const Route*>& bucket) {
  std::sort(bucket.begin(), bucket.end(), goes_before);
}

}  // namespace

PathIndex::PathIndex() : nodes_(1) {}
PathIndex::PathIndex(PathIndex&&) noexcept = default;
PathIndex& PathIndex::operator=(PathIndex&&) noexcept = default;
PathIndex::~PathIndex() = default;

PathIndex::Node& PathIndex::node_for(std::string_view prefix) {
  uint32_t at = 0;
  while (!prefix.empty()) {
    const auto end = std::min(prefix.find('/'), prefix.size());
    const auto segment = prefix.substr(0, end);
    prefix.remove_prefix(std::min(end + 1, prefix.size()));
    if (segment.empty()) continue;
    const auto next = static_cast<uint32_t>(nodes_.size());
    const auto [child, is_new] = nodes_[at].children.try_emplace(std::string{segment}, next);
    const uint32_t found = child->second;
    if (is_new) nodes_.emplace_back().parent = at;
    at = found;
  }
  return nodes_[at];
}

Status PathIndex::add(const Route& route) {
  const auto& config = route.config;
  if (!config.exact.empty()) {
    exact_[config.exact].push_back(&route);
    return {};
  }
  if (!config.regex.empty()) {
    if (!regexes_) regexes_ = std::make_unique<RegexList>();
    return regexes_->add(config.regex, route);
  }
  Node& node = node_for(config.path);
  (config.path.ends_with('/') ? node.slashed : node.bare).push_back(&route);
  return {};
}

void PathIndex::seal() {
  for (auto& [path, bucket] : exact_) seal_bucket(bucket);
  for (Node& node : nodes_) {
    seal_bucket(node.bare);
    seal_bucket(node.slashed);
  }
  if (regexes_) regexes_->seal();
}

bool PathIndex::offer(std::string_view path, Candidates& candidates) const {
  if (!exact_.empty()) {
    const auto found = exact_.find(path);
    if (found != exact_.end() && offer_bucket(found->second, candidates)) return true;
  }
  if (regexes_ && regexes_->offer(path, candidates)) return true;
  return offer_prefixes(path, candidates);
}

bool PathIndex::offer_prefixes(std::string_view path, Candidates& candidates) const {
  if (path.empty() || path.front() != '/') return false;
  uint32_t at = 0;
  // Whether the path ends where the node does, without a slash: then "/a" comes before "/a/".
  bool ends_here = false;
  for (auto left = path.substr(1);
       !left.empty() && !ends_here && !nodes_[at].children.empty();) {
    const auto slash = left.find('/');
    const auto child = nodes_[at].children.find(left.substr(0, slash));
    if (child == nodes_[at].children.end()) break;
    at = child->second;
    ends_here = slash == std::string_view::npos;
    if (!ends_here) left.remove_prefix(slash + 1);
  }
  for (;; ends_here = false) {
    const Node& node = nodes_[at];
    const Bucket& first = ends_here ? node.bare : node.slashed;
    const Bucket& second = ends_here ? node.slashed : node.bare;
    if (offer_bucket(first, candidates) || offer_bucket(second, candidates)) return true;
    if (at == 0) return false;
    at = node.parent;
  }
}

}  // namespace sluice::route
