// RegexList: the regular expressions of one host, in file order. Above a handful they are also one
// set, which is matched in a single pass, so that their number hardly counts. Linear time (RE2).
// Built by the control thread; const afterwards, shared by all workers.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <re2/re2.h>
#include <re2/set.h>

#include "proxy/base/result.h"

namespace sluice::route {

struct Route;
class Candidates;

class RegexList {
 public:
  Status add(std::string_view pattern, const Route& route);
  void seal();  // after the last add()
  // Offers those that match the whole path, in file order; true when one was taken.
  bool offer(std::string_view path, Candidates& candidates) const;

 private:
  struct Entry {
    std::unique_ptr<const re2::RE2> expression;
    const Route* route = nullptr;
  };
  bool offer_each(std::string_view path, Candidates& candidates) const;

  std::vector<Entry> entries_;
  std::unique_ptr<const re2::RE2::Set> set_;  // when there are many
};

}  // namespace sluice::route
