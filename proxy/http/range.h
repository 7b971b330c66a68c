// Range: which bytes of a representation a Range field asks for (RFC 9110 §14.1, §14.2). What is
// not by the grammar, or asks for more parts than we give, means the whole; parts that overlap
// become one (§17.15), so an answer is never much larger than what it is an answer about. Pure; any
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::http {

struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;  // inclusive
  uint64_t size() const { return last - first + 1; }
  bool operator==(const ByteRange&) const = default;
};

struct RangeSet {
  static constexpr size_t kMost = 16;
  enum class Kind : uint8_t {
    kWhole,          // answer as if there were no Range
    kParts,          // 206 with parts[0 .. count)
    kUnsatisfiable,  // 416
  };
  Kind kind = Kind::kWhole;
  size_t count = 0;
  std::array<ByteRange, kMost> parts{};  // inside the representation; none overlaps another
};

// `size` is that of the chosen representation.
RangeSet parse_range(std::string_view value, uint64_t size);

}  // namespace sluice::http
