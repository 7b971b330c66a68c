// SRV replies: whatever a name server sends, what comes out is bounded, sorted, and made of host
// names.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include "proxy/base/assert.h"
#include "proxy/net/srv_reply.h"

using namespace sluice::net;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto found = parse_srv_reply({data, size});
  if (!found) return 0;
  SLUICE_ASSERT(found->services.size() <= kMostServices);
  SLUICE_ASSERT(found->ttl.count() >= 0);
  SLUICE_ASSERT(std::is_sorted(
      found->services.begin(), found->services.end(), [](const Service& a, const Service& b) {
        return std::tie(a.priority, a.target, a.port) < std::tie(b.priority, b.target, b.port);
      }));
  for (const Service& service : found->services) {
    SLUICE_ASSERT(!service.target.empty() && service.target.size() < 256);
    for (const char c : service.target) {
      SLUICE_ASSERT((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                    c == '.');
    }
  }
  return 0;
}
