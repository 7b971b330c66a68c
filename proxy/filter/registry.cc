#include "proxy/filter/registry.h"

#include <fmt/format.h>

#include "proxy/base/assert.h"

namespace sluice::filter {

void Registry::add(std::string_view name, MakeFactory maker) {
  SLUICE_ASSERT(find(name) == nullptr);
  entries_.push_back({name, maker});
}

const Registry::Entry* Registry::find(std::string_view name) const {
  for (const auto& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::vector<std::string_view> Registry::names() const {
  std::vector<std::string_view> names;
  for (const auto& entry : entries_) names.push_back(entry.name);
  return names;
}

bool Registry::check(const config::Filter& filter, config::Faults& faults) const {
  return !make({filter}, faults).empty();
}

Factories Registry::make(const std::vector<config::Filter>& filters, config::Faults& faults) const {
  Factories factories;
  for (const auto& filter : filters) {
    const Entry* entry = find(filter.name);
    if (entry == nullptr) {
      faults.add(filter.place.file, filter.place.line, filter.settings.key,
                 fmt::format("there is no filter \"{}\"{}", filter.name,
                             config::suggest(filter.name, names())));
      continue;
    }
    std::shared_ptr<const FilterFactory> factory = entry->make(filter.settings, faults);
    if (factory != nullptr) factories.push_back(std::move(factory));
  }
  return factories;
}

}  // namespace sluice::filter
