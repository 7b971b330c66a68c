// FilterCheck: what the configuration asks the filter registry, so that it need not know plugins:
// which filters there are, and whether the settings of one are right. Implemented above; borrowed
// for the time of a load.
#pragma once

#include <string_view>
#include <vector>

#include "proxy/config/node.h"
#include "proxy/config/route.h"

namespace sluice::config {

class FilterCheck {
 public:
  virtual std::vector<std::string_view> names() const = 0;
  // Adds what is wrong with the settings to `faults`; false when something is.
  // Requires: the name is one of names().
  virtual bool check(const Filter& filter, Faults& faults) const = 0;

 protected:
  ~FilterCheck() = default;
};

}  // namespace sluice::config
