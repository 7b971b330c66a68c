// Node: a value of the configuration file and where it stands: null, scalar, list or map. A plain
// tree copied out of the YAML, so that nobody else needs the YAML library; const once loaded.
// Faults collects everything that is wrong, each with file:line: key and what would be right.
// MapReader reads one map key by key, and knows afterwards which keys nobody asked for.
#pragma once

#include <functional>
#include <map>
#include <optional>
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
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_map() const { return kind == Kind::kMap; }
  bool is_list() const { return kind == Kind::kList; }
  const Node* find(std::string_view name) const;  // null when absent
  // The same values, wherever they were written.
  bool operator==(const Node& other) const;
};

struct Node::Entry {
  std::string name;
  Node value;
};

class Faults {
 public:
  // "gateway.yaml:14: listeners[0].address: <what>"; line 0 and an empty key are left out.
  void add(const Node& at, std::string_view what);
  void add(std::string_view file, int line, std::string_view key, std::string_view what);
  bool empty() const { return lines_.empty(); }
  const std::vector<std::string>& lines() const { return lines_; }
  // By file and line, as a person goes through them.
  void sort();

 private:
  static constexpr size_t kMost = 200;  // nobody reads further

  struct Spot {
    std::string file;
    int line = 0;
  };
  std::vector<std::string> lines_;
  std::vector<Spot> spots_;  // of each of lines_
};

// Every key that is read anywhere, by its pattern ("listeners[].limits.line", "upstreams.*.name"),
// with the words it takes if it is a choice.
using KeyLog = std::map<std::string, std::vector<std::string>>;

// Reads a map: each key is asked for by name; finish() reports the keys nobody asked for, with
// "did you mean". A getter leaves `into` alone when the key is absent, and adds a fault when the
// value is wrong, so that all faults are found in one go. A null node reads as an empty map.
class MapReader {
 public:
  using ReadMap = std::function<void(MapReader&)>;
  using ReadValue = std::function<void(const Node&)>;
  using ReadNamed = std::function<void(const std::string&, MapReader&)>;

  // With a log nothing is read: every getter notes its key, every section is entered once.
  MapReader(const Node& node, Faults& faults, KeyLog* log = nullptr);

  void text(std::string_view name, std::string& into);
  void flag(std::string_view name, bool& into);            // on/off, true/false, yes/no
  // With `zero` ("off", "auto") that word may stand for 0.
  void number(std::string_view name, uint64_t& into, uint64_t least, uint64_t most,
              std::string_view zero = {});
  void number(std::string_view name, uint32_t& into, uint32_t least, uint32_t most,
              std::string_view zero = {});
  void duration(std::string_view name, Duration& into,     // 250ms, 5s, 2m, 1h, 1d
                Duration least = Duration{0}, std::string_view zero = {});
  void bytes(std::string_view name, Bytes& into,           // 512, 16KiB, 1GiB, 10MB
             Bytes least = Bytes{0}, std::string_view zero = {});
  void percent(std::string_view name, uint32_t& into,      // 20%
               std::string_view zero = {});
  void texts(std::string_view name, std::vector<std::string>& into);  // a list, or one scalar
  void texts(std::string_view name, std::map<std::string, std::string>& into);  // a map of scalars
  // One of the words; returns its index, or -1 when absent or wrong (then a fault was added).
  // `later` are words that are known, but not supported yet.
  int choice(std::string_view name, std::vector<std::string_view> words,
             std::vector<std::string_view> later = {});
  const Node* child(std::string_view name);                // null when absent
  const Node* scalar(std::string_view name);               // null when absent or wrong (a fault)
  void section(std::string_view name, const ReadMap& read);   // a map; read to its finish()
  void sections(std::string_view name, const ReadMap& read);  // a list of maps
  void named(std::string_view name, const ReadNamed& read);   // a map of maps: upstreams
  // A section that `off` may stand for; `form` is one of its maps, for the message.
  void section_or_off(std::string_view name, std::string_view form, const ReadMap& read,
                      const std::function<void()>& off);
  // A list of single values and maps; one single value is split at its commas. False after a fault
  // of the list or an item's kind. `wanted` is an item, for the message.
  bool values_or_sections(std::string_view name, std::string_view wanted, const ReadValue& value,
                          const ReadMap& read);
  void refuse(std::string_view name, std::string_view why);   // a key of a later version
  void misplaced(std::string_view name, std::string_view where);  // a key of another map

  bool has(std::string_view name) const;  // present and not null; does not count as asked for
  void fault(std::string_view name, std::string_view what);   // at that key, or at the map
  Faults& faults() { return faults_; }
  const Node& node() const { return node_; }
  void finish();

 private:
  const Node* take(std::string_view name);
  void enter(const Node& node, const ReadMap& read);
  std::string key_of(std::string_view name) const;

  const Node& node_;
  Faults& faults_;
  KeyLog* const log_;
  std::vector<std::string> asked_;
};

// ` did you mean "address"?`, or the words there are when none is near.
std::string suggest(std::string_view wrong, const std::vector<std::string_view>& words);

// The document in `text`; nullopt after a fault that leaves nothing to go on with. Depth is bounded
// and so is `budget` (bytes, aliases counted in full), which all files of a load share.
std::optional<Node> parse_yaml(const std::string& text, const std::string& file, size_t& budget,
                               Faults& faults);
// Gives every node below its key, after trees were joined.
void name_keys(Node& node);

}  // namespace sluice::config
