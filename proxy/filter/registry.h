// Registry: which filters this program has: a name from the configuration → a maker of factories.
// An object that main fills and passes on; there is no static registration. Filled once, const
// afterwards. The configuration asks it what is right (FilterCheck), the snapshot's builder has it
// make the routes' factories.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "proxy/config/filter_check.h"
#include "proxy/config/route.h"
#include "proxy/filter/chain.h"
#include "proxy/filter/filter.h"

namespace sluice::filter {

// Reads the settings; null when they are wrong, after saying so in `faults`. Does not throw.
using MakeFactory = std::unique_ptr<FilterFactory> (*)(const config::Node& settings,
                                                       config::Faults& faults);

class Registry final : public config::FilterCheck {
 public:
  // Requires: the name is static text, and new.
  void add(std::string_view name, MakeFactory maker);

  // The factories of a route's `filters:`, in order. Every fault is reported, also an unknown name
  // (with "did you mean"); then the result is not for use.
  Factories make(const std::vector<config::Filter>& filters, config::Faults& faults) const;

  std::vector<std::string_view> names() const override;
  bool check(const config::Filter& filter, config::Faults& faults) const override;

 private:
  struct Entry {
    std::string_view name;
    MakeFactory make;
  };
  const Entry* find(std::string_view name) const;

  std::vector<Entry> entries_;
};

}  // namespace sluice::filter
