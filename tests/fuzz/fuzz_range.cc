// Range, entity tags and dates: three small grammars a client fills in. Whatever comes in, parts
// lie inside the representation, do not overlap, and are no more than the ceiling; dates read back.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "proxy/base/assert.h"
#include "proxy/http/conditional.h"
#include "proxy/http/range.h"

using namespace sluice::http;

namespace {

void check_range(std::string_view text, uint64_t size) {
  const auto set = parse_range(text, size);
  SLUICE_ASSERT(set.count <= RangeSet::kMost);
  SLUICE_ASSERT((set.kind == RangeSet::Kind::kParts) == (set.count > 0) ||
                set.kind == RangeSet::Kind::kWhole);
  if (set.kind != RangeSet::Kind::kParts) return;
  uint64_t total = 0;
  for (size_t i = 0; i < set.count; ++i) {
    const auto& part = set.parts[i];
    SLUICE_ASSERT(part.first <= part.last && part.last < size);
    total += part.size();
    for (size_t j = 0; j < i; ++j) {
      SLUICE_ASSERT(part.last < set.parts[j].first || part.first > set.parts[j].last);
    }
  }
  SLUICE_ASSERT(total <= size);
}

void check_date(std::string_view text, UnixTime now) {
  const auto time = parse_http_date(text, now);
  if (!time || *time > 253402300799 || *time < -62135596800) return;
  char written[kHttpDateSize];
  format_http_date(*time, written);
  SLUICE_ASSERT(parse_http_date({written, sizeof written}, now) == time);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint64_t file_size = 0;
  if (size < sizeof file_size) return 0;
  std::memcpy(&file_size, data, sizeof file_size);
  const std::string_view text{reinterpret_cast<const char*>(data) + sizeof file_size,
                              size - sizeof file_size};
  // Small files make ranges meet; huge ones try the arithmetic.
  check_range(text, file_size);
  check_range(text, file_size % 32);
  check_date(text, static_cast<UnixTime>(file_size % 253402300799U));
  etag_list_has(text, "\"a\"", true);
  etag_list_has(text, "\"a\"", false);
  Headers headers;
  headers.add(HeaderId::kIfRange, text);
  headers.add(HeaderId::kIfNoneMatch, text);
  const Validators current{"\"a\"", 1700000000};
  if_range_holds(headers, current, 1790000000);
  check_preconditions(headers, current, 1790000000);
  return 0;
}
