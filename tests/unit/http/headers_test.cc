#include "proxy/http/headers.h"

#include <doctest/doctest.h>

#include <string>

#include "proxy/base/text.h"
#include "proxy/http/message.h"

using namespace sluice;
using namespace sluice::http;

TEST_CASE("headers: every known name finds its id in any case, and nothing near it does") {
  for (int i = 1; i < static_cast<int>(HeaderId::kCount_); ++i) {
    const auto id = static_cast<HeaderId>(i);
    const std::string name{name_of(id)};
    CAPTURE(name);
    CHECK(header_id(name) == id);
    CHECK(header_id(to_lower(name)) == id);
    std::string upper = name;
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    CHECK(header_id(upper) == id);
    CHECK(header_id(name + "x") == HeaderId::kOther);
    for (size_t at = 0; at < name.size(); ++at) {
      std::string near = name;
      near[at] = '_';
      CHECK(header_id(near) == HeaderId::kOther);
    }
  }
  CHECK(header_id("") == HeaderId::kOther);
  CHECK(header_id("x") == HeaderId::kOther);
  // 0x20 is the only bit that case may change.
  CHECK(header_id("Content\rLength") == HeaderId::kOther);
}

TEST_CASE("headers: names keep their spelling, values their order") {
  Headers headers;
  headers.add("x-A", "1");
  headers.add("hOsT", "h");
  headers.add("X-a", "2");
  REQUIRE(headers.size() == 3);
  CHECK(headers.begin()->name == "x-A");
  CHECK(headers.get("X-A") == "1");
  CHECK(headers.get(HeaderId::kHost) == "h");
  CHECK(headers.find(HeaderId::kHost)->name == "hOsT");
  CHECK(headers.find("nothing") == nullptr);
  CHECK(headers.get(HeaderId::kCookie).empty());
  CHECK_FALSE(headers.has(HeaderId::kCookie));
}

TEST_CASE("headers: set replaces all of that name, remove takes all of them") {
  Headers headers;
  headers.add("Vary", "a");
  headers.add("vary", "b");
  headers.add("x-other", "1");
  headers.add("X-Other", "2");
  CHECK(headers.count(HeaderId::kVary) == 2);
  headers.set(HeaderId::kVary, "c");
  CHECK(headers.count(HeaderId::kVary) == 1);
  CHECK(headers.get("VARY") == "c");
  headers.set("X-OTHER", headers.get("x-other"));  // a view of what is being removed
  CHECK(headers.get("x-other") == "1");
  CHECK(headers.remove("x-other") == 1);
  CHECK(headers.remove("Vary") == 1);
  CHECK(headers.empty());
}

TEST_CASE("headers: joined makes one list of several lines and copies only then") {
  Headers headers;
  CHECK(headers.joined(HeaderId::kVary).empty());
  headers.add(HeaderId::kVary, "a");
  const auto* before = headers.get(HeaderId::kVary).data();
  CHECK(headers.joined(HeaderId::kVary).data() == before);
  headers.add(HeaderId::kVary, "b, c");
  CHECK(headers.joined(HeaderId::kVary) == "a, b, c");
  Headers with_empty;
  with_empty.add(HeaderId::kVary, "");
  with_empty.add(HeaderId::kVary, "x");
  CHECK(with_empty.joined(HeaderId::kVary) == "x");
}

TEST_CASE("headers: views outlive a move, a copy owns its bytes") {
  Headers copied;
  std::string_view moved_view;
  {
    Headers first;
    first.add("X-Name", std::string(5000, 'v'));
    first.add(HeaderId::kETag, "\"e\"");
    moved_view = first.get("x-name");
    Headers second = std::move(first);
    CHECK(second.get("X-Name").data() == moved_view.data());
    copied = second.copy();
  }
  CHECK(copied.get("x-name") == std::string(5000, 'v'));
  CHECK(copied.get(HeaderId::kETag) == "\"e\"");
}

TEST_CASE("message: phrases and methods") {
  CHECK(reason_of(404) == "Not Found");
  CHECK(reason_of(511) == "Network Authentication Required");
  CHECK(reason_of(299) == "Unknown");
  CHECK(reason_of(-1) == "Unknown");
  CHECK(reason_of(5000) == "Unknown");
  CHECK(is_idempotent("PUT"));
  CHECK_FALSE(is_idempotent("POST"));
  CHECK_FALSE(is_idempotent("get"));
  CHECK(is_safe("HEAD"));
  CHECK_FALSE(is_safe("DELETE"));
  CHECK(name_of(Version::kHttp10) == "HTTP/1.0");
}
