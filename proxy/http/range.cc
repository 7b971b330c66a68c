#include "proxy/http/range.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "proxy/base/text.h"

namespace sluice::http {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

// 1*DIGIT; a number too large to hold is certainly beyond the end of any file.
std::optional<uint64_t> parse_position(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  return parse_decimal(text).value_or(kHuge);
}

enum class Spec : uint8_t { kInvalid, kOutside, kInside };

// int-range or suffix-range (RFC 9110 §14.1.1), clamped to the representation (§14.1.2).
Spec parse_spec(std::string_view spec, uint64_t size, ByteRange& range) {
  const auto dash = spec.find('-');
  if (dash == std::string_view::npos) return Spec::kInvalid;
  const auto end = spec.substr(dash + 1);
  if (dash == 0) {
    const auto suffix = parse_position(end);
    if (!suffix) return Spec::kInvalid;
    if (*suffix == 0 || size == 0) return Spec::kOutside;
    range = {size - std::min(*suffix, size), size - 1};
    return Spec::kInside;
  }
  const auto first = parse_position(spec.substr(0, dash));
  if (!first) return Spec::kInvalid;
  uint64_t last = kHuge;
  if (!end.empty()) {
    const auto stated = parse_position(end);
    if (!stated || *stated < *first) return Spec::kInvalid;
    last = *stated;
  }
  if (*first >= size) return Spec::kOutside;
  range = {*first, std::min(last, size - 1)};
  return Spec::kInside;
}

// Parts keep the order asked for, unless some overlap: then they are merged in ascending order.
void merge_overlapping(RangeSet& set) {
  auto sorted = set.parts;
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(set.count);
  std::sort(sorted.begin(), end,
            [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 1; i < set.count; ++i) {
    if (sorted[i].first <= sorted[kept].last) {
      sorted[kept].last = std::max(sorted[kept].last, sorted[i].last);
    } else {
      sorted[++kept] = sorted[i];
    }
  }
  if (set.count == 0 || kept + 1 == set.count) return;
  set.count = kept + 1;
  set.parts = sorted;
}

}  // namespace

RangeSet parse_range(std::string_view value, uint64_t size) {
  const RangeSet whole;
  const auto equals = value.find('=');
  if (equals == std::string_view::npos || !iequals(value.substr(0, equals), "bytes")) return whole;
  RangeSet set;
  size_t specs = 0;
  bool invalid = false;
  for_each_element(value.substr(equals + 1), [&set, &specs, &invalid, size](std::string_view spec) {
    if (invalid || ++specs > RangeSet::kMost) return;
    ByteRange range;
    switch (parse_spec(spec, size, range)) {
      case Spec::kInvalid:
        invalid = true;
        break;
      case Spec::kOutside:
        break;
      case Spec::kInside:
        set.parts[set.count++] = range;
        break;
    }
  });
  if (invalid || specs == 0 || specs > RangeSet::kMost) return whole;
  merge_overlapping(set);
  set.kind = set.count == 0 ? RangeSet::Kind::kUnsatisfiable : RangeSet::Kind::kParts;
  return set;
}

}  // namespace sluice::http
