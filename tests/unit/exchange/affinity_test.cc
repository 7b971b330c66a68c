#include "proxy/exchange/affinity.h"

#include <chrono>

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::exchange;
using namespace std::chrono_literals;
using Kind = config::HashKey::Kind;

TEST_CASE("affinity: cookies are found by their whole name, wherever they stand") {
  http::Headers headers;
  headers.add("Cookie", "xsid=no; sid=one;sid=two");
  headers.add("Cookie", "  other = 1 ;last=end");
  CHECK(cookie_of(headers, "sid") == "one");
  CHECK(cookie_of(headers, "last") == "end");
  CHECK(cookie_of(headers, "id").empty());
  CHECK(cookie_of(headers, "sidx").empty());
  CHECK(cookie_of(http::Headers{}, "sid").empty());
}

TEST_CASE("affinity: a key is of a header, a cookie or the client, and may be missing") {
  http::RequestHead request;
  request.headers.add("X-User", "ann");
  request.headers.add("Cookie", "sid=ann");
  const auto header = hash_key({Kind::kHeader, "x-user"}, request, "10.0.0.1");
  REQUIRE(header);
  CHECK(header == hash_key({Kind::kCookie, "sid"}, request, "10.0.0.1"));
  CHECK(hash_key({Kind::kAddress, ""}, request, "10.0.0.1") !=
        hash_key({Kind::kAddress, ""}, request, "10.0.0.2"));
  CHECK_FALSE(hash_key({Kind::kHeader, "x-session"}, request, "10.0.0.1"));
  CHECK_FALSE(hash_key({Kind::kAddress, ""}, request, ""));  // a unix socket
}

TEST_CASE("affinity: the sticky cookie tells nothing of the address") {
  const std::string value = sticky_value("django", "10.0.0.1:8000");
  CHECK(value.size() == 16);
  CHECK(value.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(value != sticky_value("django", "10.0.0.2:8000"));
  CHECK(value != sticky_value("other", "10.0.0.1:8000"));
  CHECK(sticky_cookie({"route", 0s}, "ab", false) == "route=ab; Path=/; HttpOnly; SameSite=Lax");
  CHECK(sticky_cookie({"route", 1h}, "ab", true) ==
        "route=ab; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600");
}
