// PathIndex: the routes of one host by path: exact ones, regular expressions in file order,
// prefixes. Prefixes are a tree of segments: a lookup walks down as far as the path and the tree
// agree, then up again, so it costs what the matched path is long, however many routes there are.
// Built by the control thread; const afterwards, shared by all workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/result.h"

namespace sluice::route {

struct Route;
class RegexList;

// Hears the routes that fit a path, the best first, until it takes one.
class Candidates {
 public:
  virtual bool on_candidate(const Route& route) = 0;  // true: taken

 protected:
  ~Candidates() = default;
};

class PathIndex {
 public:
  PathIndex();
  PathIndex(PathIndex&&) noexcept;
  PathIndex& operator=(PathIndex&&) noexcept;
  ~PathIndex();

  // Requires: `route` outlives this. Fails for a regular expression that is none.
  Status add(const Route& route);
  // After the last add(): routes of one path are put in order, those with more conditions first.
  void seal();

  // Exact, then regular expressions, then prefixes from the longest. True when one was taken.
  bool offer(std::string_view path, Candidates& candidates) const;

 private:
  using Bucket = std::vector<const Route*>;
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  // A prefix: "/a/b" and "/a/b/" share a node.
  struct Node {
    Bucket bare;     // "/a/b", also without anything behind
    Bucket slashed;  // "/a/b/"
    uint32_t parent = 0;
    std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>> children;
  };
  Node& node_for(std::string_view prefix);
  bool offer_prefixes(std::string_view path, Candidates& candidates) const;

  std::unordered_map<std::string, Bucket, TextHash, std::equal_to<>> exact_;
  std::unique_ptr<RegexList> regexes_;  // null: none
  std::vector<Node> nodes_;             // nodes_[0] is "/"
};

}  // namespace sluice::route
