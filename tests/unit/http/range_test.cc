#include "proxy/http/range.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace sluice::http;

namespace {

using Kind = RangeSet::Kind;

std::vector<ByteRange> parts(std::string_view value, uint64_t size) {
  const auto set = parse_range(value, size);
  if (set.kind != Kind::kParts) return {};
  return {set.parts.begin(), set.parts.begin() + static_cast<std::ptrdiff_t>(set.count)};
}

Kind kind(std::string_view value, uint64_t size) {
  return parse_range(value, size).kind;
}

using Parts = std::vector<ByteRange>;

}  // namespace

TEST_CASE("range: single ranges are clamped to the representation") {
  CHECK(parts("bytes=0-0", 11) == Parts{{0, 0}});
  CHECK(parts("bytes=2-4", 11) == Parts{{2, 4}});
  CHECK(parts("bytes=5-1000", 11) == Parts{{5, 10}});
  CHECK(parts("bytes=5-", 11) == Parts{{5, 10}});
  CHECK(parts("bytes=-3", 11) == Parts{{8, 10}});
  CHECK(parts("bytes=-100", 11) == Parts{{0, 10}});
  CHECK(parts("bytes=0-18446744073709551616", 11) == Parts{{0, 10}});
  CHECK(parts("BYTES=1-1", 11) == Parts{{1, 1}});
  CHECK(parts("bytes= 1-1 , ,3-3,", 11) == Parts{{1, 1}, {3, 3}});
}

TEST_CASE("range: what lies outside is unsatisfiable, unless another part is inside") {
  CHECK(kind("bytes=11-", 11) == Kind::kUnsatisfiable);
  CHECK(kind("bytes=-0", 11) == Kind::kUnsatisfiable);
  CHECK(kind("bytes=99999999999999999999999-", 11) == Kind::kUnsatisfiable);
  CHECK(kind("bytes=0-0", 0) == Kind::kUnsatisfiable);
  CHECK(kind("bytes=-5", 0) == Kind::kUnsatisfiable);
  CHECK(parts("bytes=20-30,1-2", 11) == Parts{{1, 2}});
}

TEST_CASE("range: what is not by the grammar means the whole") {
  for (const auto* value :
       {"", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-2",
        "lines=1-2", "bytes=1 -2", "bytes=1- 2", "bytes =1-2", "bytes=+1-2", "bytes=1-2;3-4",
        "bytes=0-0,x", "bytes=--1", "bytes=1-2-3", "bytes:1-2", "bytes=0x1-2"}) {
    CAPTURE(value);
    CHECK(kind(value, 11) == Kind::kWhole);
  }
}

TEST_CASE("range: parts keep the order asked for until they overlap") {
  CHECK(parts("bytes=8-9,0-1", 11) == Parts{{8, 9}, {0, 1}});
  CHECK(parts("bytes=2-3,4-5", 11) == Parts{{2, 3}, {4, 5}});
  CHECK(parts("bytes=4-6,0-4", 11) == Parts{{0, 6}});
  CHECK(parts("bytes=8-9,0-4,3-5", 11) == Parts{{0, 5}, {8, 9}});
  CHECK(parts("bytes=0-,0-,0-", 11) == Parts{{0, 10}});
  CHECK(parts("bytes=0-10,3-4,9-9", 11) == Parts{{0, 10}});
}

TEST_CASE("range: more parts than we give mean the whole") {
  std::string value = "bytes=";
  for (size_t i = 0; i < RangeSet::kMost; ++i)
    value += std::to_string(i * 2) + "-" + std::to_string(i * 2) + ",";
  CHECK(parts(value, 1000).size() == RangeSet::kMost);
  CHECK(kind(value + "500-501", 1000) == Kind::kWhole);
  CHECK(kind(value + "5000-", 1000) == Kind::kWhole);
}
