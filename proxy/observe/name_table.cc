#include "proxy/observe/name_table.h"

#include "proxy/observe/metric_ids.h"
#include "proxy/observe/utf8.h"

namespace sluice::observe {

NameTable::NameTable(uint32_t most) : most_(most) {
  names_.emplace_back("none", "none");
  names_.emplace_back("other", "other");
}

uint32_t NameTable::id_of(std::string_view first, std::string_view second) {
  // Prometheus refuses a whole scrape over one label that is not UTF-8.
  Names names(to_utf8(first), to_utf8(second));
  std::string key = names.first;
  key.push_back('\0');
  key += names.second;
  if (const auto known = ids_.find(key); known != ids_.end()) return known->second;
  if (size() >= most_) return kOtherName;
  const uint32_t id = size();
  names_.push_back(std::move(names));
  ids_.emplace(std::move(key), id);
  return id;
}

}  // namespace sluice::observe
