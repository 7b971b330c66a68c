// The parts of H2Server that stand alone: what finds frames, what counts abuse, what makes heads,
// what lends memory.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "proxy/http/h2_frame_scan.h"
#include "proxy/http/h2_guard.h"
#include "proxy/http/h2_head.h"
#include "proxy/http/h2_memory.h"
#include "tests/unit/http/h2_rig.h"

using namespace sluice;
using namespace sluice::http;
using namespace sluice::testing;

namespace {

constexpr HeadLimits kLimits{1000, 2000, 20};

HeadResult<void> finish(H2Head& head, const Fields& fields, bool ends = true) {
  for (const auto& [name, value] : fields) REQUIRE(head.add(name, value, kLimits));
  return head.finish(ends);
}

Fields get(const Fields& more = {}, std::string_view path = "/") {
  Fields fields{{":method", "GET"},
                {":scheme", "http"},
                {":authority", "a.example"},
                {":path", std::string(path)}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

std::string_view fault_of(const Fields& fields, bool ends = true) {
  H2Head head;
  const auto made = finish(head, fields, ends);
  return made ? std::string_view{} : made.error().reason;
}

}  // namespace

TEST_CASE("h2 frames: each head is found once, however the bytes are cut") {
  const std::string bytes = "skip" + frame(NGHTTP2_DATA, 0, 5, std::string(300, 'd')) +
                            frame(NGHTTP2_PRIORITY, 0, 7, std::string("\x80\0\0\7\0", 5)) +
                            frame(NGHTTP2_SETTINGS, 0, 0, "") + frame(77, 0, 9, "x");
  for (size_t step = 1; step <= bytes.size(); ++step) {
    H2FrameScan scan(4);
    std::vector<int> types;
    for (size_t from = 0; from < bytes.size(); from += step) {
      const std::string_view piece = std::string_view(bytes).substr(from, step);
      for (size_t at = 0; at < piece.size();) {
        if (scan.next(piece, at) == std::string_view::npos) break;
        types.push_back(scan.type());
        if (scan.type() == H2FrameScan::kPriority) {
          CHECK(scan.stream() == 7);
          CHECK(scan.dependency() == 7);
        }
        CHECK(scan.is_unknown() == (scan.type() == 77));
      }
    }
    CHECK(types == std::vector<int>{0, 2, 4, 77});
  }
}

TEST_CASE("h2 guard: a purse is emptied by a flood and filled by time, resets by theirs alone") {
  const TimePoint start{};
  H2Guard guard(start);
  int paid = 0;
  while (guard.pay_for_control(start)) ++paid;
  CHECK(paid == 1000);
  guard.earn(1);
  CHECK(guard.pay_for_control(start));
  CHECK_FALSE(guard.pay_for_control(start));
  CHECK(guard.pay_for_control(start + std::chrono::seconds(1)));
  paid = 0;
  while (guard.pay_for_reset(start + std::chrono::seconds(1))) ++paid;
  CHECK(paid == 250);
  paid = 0;
  while (guard.pay_for_reset(start + std::chrono::seconds(3))) ++paid;
  CHECK(paid == 100);
}

TEST_CASE("h2 head: what HTTP/1.1 may not carry, HTTP/2 may not bring") {
  CHECK(fault_of(get()).empty());
  CHECK(fault_of(get({}, "/a b")) == "malformed_target");
  CHECK(fault_of(get({}, "http://b.example/")) == "malformed_target");
  CHECK(fault_of(get({}, "/a#b")) == "malformed_target");
  CHECK(fault_of(get({}, "/a\r\nX: y")) == "malformed_target");
  CHECK(fault_of(get({}, "a")) == "malformed_target");
  CHECK(fault_of(get({}, "*")) == "malformed_target");
  CHECK(fault_of(get({{"x-a", "b\r\nc: d"}})) == "malformed_header");
  CHECK(fault_of(get({{"x a", "b"}})) == "malformed_header");
  CHECK(fault_of(get({{"host", "a.example"}, {"host", "a.example"}})) == "duplicate_host");
  CHECK(fault_of(get({{"host", "b.example"}})) == "host_differs");
  CHECK(fault_of(get({{"host", "A.Example"}})).empty());
  CHECK_FALSE(fault_of(get({{"content-length", "5, 5"}}), false).empty());
  CHECK(fault_of({{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"}, {":path", "/"}}) ==
        "scheme");
  CHECK(fault_of({{":method", "G T"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}) ==
        "malformed_method");
  CHECK(fault_of({{":method", "CONNECT"}, {":authority", "a:1"}}) == "connect");
  CHECK_FALSE(fault_of({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}).empty());
  for (const char* authority : {"a@b", "a b", "a,b", "a/b", "[::1", "a:x"}) {
    Fields fields = get();
    fields[2].second = authority;
    CHECK_FALSE(fault_of(fields).empty());
  }
}

TEST_CASE("h2 head: the body's size is what frames and fields say together") {
  const auto size_of = [](const Fields& fields, bool ends) {
    H2Head head;
    REQUIRE(finish(head, fields, ends));
    return head.head().body;
  };
  CHECK(size_of(get(), true).is_none());
  CHECK(size_of(get(), false).is_unknown());
  CHECK(size_of(get({{"content-length", "7"}}), false).length == 7);
  CHECK(size_of(get({{"content-length", "0"}}), false).is_unknown());
}

TEST_CASE("h2 head: over a limit is a fault, far over it is harm") {
  H2Head head;
  for (const auto& [name, value] : get()) REQUIRE(head.add(name, value, kLimits));
  size_t sent = 0;
  while (head.add("x-a", std::string(100, 'v'), kLimits)) sent += 107;
  CHECK(sent > kLimits.block);
  CHECK(sent <= kLimits.block * 8);
  CHECK(head.finish(true).error().status == 431);
  CHECK(head.head().headers.size() < 20);  // what is over it was not kept
  H2Head counted;
  for (const auto& [name, value] : get()) REQUIRE(counted.add(name, value, kLimits));
  for (int i = 0; i < 21; ++i) REQUIRE(counted.add("x", "", kLimits));
  CHECK(counted.finish(true).error().reason == "too_many_headers");
  H2Head line;
  REQUIRE(line.add(":path", "/" + std::string(1000, 'p'), kLimits));
  CHECK(line.finish(true).error().status == 414);
}

TEST_CASE("h2 memory: pieces come again, keep what is in them when they grow, and are aligned") {
  nghttp2_mem& memory = *h2_memory();
  void* const first = memory.malloc(100, nullptr);
  memory.free(first, nullptr);
  CHECK(memory.malloc(128, nullptr) == first);
  CHECK(reinterpret_cast<uintptr_t>(first) % alignof(std::max_align_t) == 0);
  std::memset(first, 'x', 128);
  char* const larger = static_cast<char*>(memory.realloc(first, 5000, nullptr));
  CHECK(std::string(larger, 128) == std::string(128, 'x'));
  CHECK(memory.realloc(larger, 10, nullptr) == larger);
  memory.free(larger, nullptr);
  char* const zeroed = static_cast<char*>(memory.calloc(16, 8, nullptr));
  CHECK(std::string(zeroed, 128) == std::string(128, '\0'));
  memory.free(zeroed, nullptr);
  memory.free(nullptr, nullptr);
  memory.free(memory.realloc(nullptr, 0, nullptr), nullptr);
}
