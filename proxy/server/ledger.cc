#include "proxy/server/ledger.h"

#include <algorithm>
#include <vector>

namespace sluice::server {
namespace {

std::string counted(uint64_t count, const std::string& of) {
  return std::to_string(count) + " " + of + (count == 1 ? "" : "s");
}

}  // namespace

std::string summary(const Ledger& ledger) {
  std::string text = "served " + counted(ledger.requests - ledger.unserved, "request") + " on " +
                     counted(ledger.connections, "connection") + "; not served: ";
  if (ledger.unserved == 0) return text + "none";
  // The most frequent first; the map has them by name.
  std::vector<std::pair<std::string, uint64_t>> drops(ledger.drops.begin(), ledger.drops.end());
  std::stable_sort(drops.begin(), drops.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  text += std::to_string(ledger.unserved) + " (";
  for (const auto& [reason, count] : drops) {
    text += (text.back() == '(' ? "" : ", ") + reason + " " + std::to_string(count);
  }
  return text + ")";
}

}  // namespace sluice::server
