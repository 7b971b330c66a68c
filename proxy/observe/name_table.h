// NameTable: names (or pairs of them) of one kind of label to dense ids. Names are never forgotten,
// so that counters survive a reload that drops a name and one that brings it back; beyond the
// ceiling every new name is "other". Guarded by its owner, Metrics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sluice::observe {

class NameTable {
 public:
  using Names = std::pair<std::string, std::string>;

  // Requires: most >= 2.
  explicit NameTable(uint32_t most);

  uint32_t id_of(std::string_view first, std::string_view second = {});
  uint32_t size() const { return static_cast<uint32_t>(names_.size()); }
  const Names& names(uint32_t id) const { return names_[id]; }

 private:
  const uint32_t most_;
  std::vector<Names> names_;                       // by id, valid UTF-8
  std::unordered_map<std::string, uint32_t> ids_;  // "first\0second"
};

}  // namespace sluice::observe
