// Node: a value of the configuration file and where it stands: null, scalar, list or map. A plain tree
// copied out of the YAML, so that nobody else needs the YAML library; const once loaded; any thread.
// Faults collects everything that is wrong, each with file:line: key and what would be right.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace sluice::config {

class Node {
 public:
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  std::string scalar;
  std::vector<Node> items;       // kList
  std::vector<Entry> entries;    // kMap, in file order
  std::string file;
  int line = 0;
  std::string key;               // the full path ("routes[2].static.root"), for messages

  bool is_null() const { return kind == Kind::kNull; }
  bool is_map() const { return kind == Kind::kMap; }
  bool is_list() const { return kind == Kind::kList; }
  const Node* find(std::string_view name) const;  // null when absent
};

struct Node::Entry {
  std::string name;
  Node value;
};

class Faults {
 public:
  // "gateway.yaml:14: listeners[0].address: <what>"
  void add(const Node& at, std::string_view what);
  void add(std::string_view file, int line, std::string_view key, std::string_view what);
  bool empty() const { return lines_.empty(); }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

// Reads a map: each key is asked for by name; finish() reports the keys nobody asked for, with
// "did you mean". A getter leaves `into` alone when the key is absent, and adds a fault when the value
// is of the wrong kind, so that all faults are found in one go.
class MapReader {
 public:
  MapReader(const Node& node, Faults& faults);

  void text(std::string_view name, std::string& into);
  void flag(std::string_view name, bool& into);            // on/off, true/false, yes/no
  void number(std::string_view name, uint64_t& into, uint64_t least, uint64_t most);
  void number(std::string_view name, uint32_t& into, uint32_t least, uint32_t most);
  void duration(std::string_view name, Duration& into);    // 250ms, 5s, 2m, 1h, 1d
  void bytes(std::string_view name, Bytes& into);          // 512, 16KiB, 1GiB, 10MB
  void texts(std::string_view name, std::vector<std::string>& into);  // a list, or one scalar
  // One of the words; returns its index, or -1 when absent or wrong (then a fault was added).
  int choice(std::string_view name, std::vector<std::string_view> words);
  const Node* child(std::string_view name);                // null when absent
  Faults& faults() { return faults_; }
  const Node& node() const { return node_; }
  void finish();

 private:
  const Node* take(std::string_view name);
  const Node* take_scalar(std::string_view name);

  const Node& node_;
  Faults& faults_;
  std::vector<std::string> asked_;
};

}  // namespace sluice::config
