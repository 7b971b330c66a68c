#include "plugins/headers/headers.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/plugins/bench.h"

using namespace sluice;
using namespace sluice::plugins;
using filter::Verdict;

namespace {

size_t count(const http::Headers& headers, std::string_view name) {
  size_t n = 0;
  for (const auto& field : headers) n += field.name == name ? 1 : 0;
  return n;
}

std::string faults_of(const std::string& yaml) {
  return Bench(make_headers, yaml).wrong();
}

}  // namespace

TEST_CASE("headers: set replaces, add adds, remove removes, default fills a gap") {
  Bench bench(make_headers, R"(
request:
  remove: [X-Debug, user-agent]
  set: { X-Tenant: acme, X-Empty: "" }
  add: { X-Seen: [a, b] }
  default: { Accept-Language: en, X-Tenant: other, Accept: "*/*" }
response:
  remove: Server
  set: { X-Frame-Options: DENY, cache-control: no-store }
  add: { Set-Cookie: a=1 }
  default: { ETag: '"x"' }
)");
  REQUIRE(bench.wrong() == "");
  auto& asked = bench.host.head.headers;
  asked.add("X-Debug", "1");
  asked.add("x-debug", "2");
  asked.add("User-Agent", "curl");
  asked.add("x-tenant", "evil");
  asked.add("X-Tenant", "evil");
  asked.add("X-Seen", "before");
  asked.add("Accept", "text/html");
  CHECK(bench.on_request() == Verdict::kContinue);
  CHECK(asked.find("X-Debug") == nullptr);
  CHECK(asked.find("User-Agent") == nullptr);
  CHECK(bench.asked("X-Tenant") == "acme");
  CHECK(count(asked, "X-Tenant") + count(asked, "x-tenant") == 1);
  REQUIRE(asked.find("X-Empty") != nullptr);
  CHECK(bench.asked("X-Empty") == "");
  CHECK(count(asked, "X-Seen") == 3);
  CHECK(bench.asked("Accept-Language") == "en");
  CHECK(bench.asked("Accept") == "text/html");

  auto& said = bench.response.headers;
  said.add("Server", "gunicorn");
  said.add("Cache-Control", "max-age=60");
  said.add("Set-Cookie", "b=2");
  said.add("ETag", "\"y\"");
  CHECK(bench.on_response() == Verdict::kContinue);
  CHECK(said.find("Server") == nullptr);
  CHECK(bench.said("X-Frame-Options") == "DENY");
  CHECK(bench.said("Cache-Control") == "no-store");
  CHECK(count(said, "Set-Cookie") == 2);
  CHECK(bench.said("ETag") == "\"y\"");
}

TEST_CASE("headers: variables are filled in") {
  Bench bench(make_headers, R"(
request: { set: { X-All: "$scheme://$host$path|$client_address|$request_id|$$5 $$" } }
response: { set: { X-Host: $host, X-Path: "<$path>" } }
)");
  REQUIRE(bench.wrong() == "");
  bench.host.head.headers.add("X-Request-Id", "abc");
  bench.host.head.headers.add("X-Forwarded-Proto", "https");
  bench.on_request();
  CHECK(bench.asked("X-All") == "https://example.com/a%0d%0ab|203.0.113.7|abc|$5 $");
  bench.on_response();
  CHECK(bench.said("X-Host") == "example.com");
  CHECK(bench.said("X-Path") == "</a%0d%0ab>");
}

TEST_CASE("headers: the scheme and the host in their odd forms") {
  const auto filled = [](std::string_view authority, bool secure, std::string_view proto) {
    Bench bench(make_headers, "request: { set: { X-Out: \"$scheme $host\" } }");
    bench.host.head.authority = authority;
    bench.host.head.secure = secure;
    if (!proto.empty()) bench.host.head.headers.add("X-Forwarded-Proto", proto);
    bench.on_request();
    return bench.asked("X-Out");
  };
  CHECK(filled("example.com", false, "") == "http example.com");
  CHECK(filled("example.com:80", true, "") == "https example.com");
  CHECK(filled("[::1]", true, "http") == "http [::1]");
  CHECK(filled("[::1]:8080", false, "https") == "https [::1]");
  CHECK(filled("", false, "gopher") == "http ");
}

TEST_CASE("headers: a value may ask for the field it replaces") {
  Bench bench(make_headers, "request: { set: { X-Request-Id: \"edge-$request_id\" } }");
  bench.host.head.headers.add("X-Request-Id", "abc");
  bench.on_request();
  CHECK(bench.asked("X-Request-Id") == "edge-abc");
}

TEST_CASE("headers: Host can be set for the application behind") {
  Bench bench(make_headers, "request: { set: { Host: internal.example:81 } }");
  REQUIRE(bench.wrong() == "");
  bench.on_request();
  CHECK(bench.host.head.authority == "internal.example:81");
  CHECK(bench.asked("Host") == "internal.example:81");

  Bench odd(make_headers, "request: { set: { Host: \"a.$host\" } }");
  REQUIRE(odd.wrong() == "");
  odd.host.head.authority = "x y";  // no codec lets this through; the filter must not make it worse
  odd.on_request();
  CHECK(odd.host.head.authority == "x y");
}

TEST_CASE("headers: what belongs to one connection is refused") {
  for (const std::string name :
       {"Connection", "transfer-encoding", "Content-Length", "Keep-Alive", "TE", "Trailer",
        "Upgrade", "Proxy-Connection", "HTTP2-Settings", "Expect"}) {
    CAPTURE(name);
    CHECK(faults_of("request: { set: { " + name + ": x } }").find("one connection") !=
          std::string::npos);
    CHECK(faults_of("response: { remove: [" + name + "] }").find("one connection") !=
          std::string::npos);
  }
  CHECK(faults_of("response: { set: { Host: x } }") != "");
  CHECK(faults_of("request: { remove: [Host] }") != "");
  CHECK(faults_of("request: { add: { Host: x } }") != "");
  CHECK(faults_of("request: { set: { Host: \"x/y\" } }").find("no host name") != std::string::npos);
}

TEST_CASE("headers: names and values that would break a head are refused") {
  for (const std::string name :
       {"\"a b\"", "\"a:\"", "\"\"", "\"a\\r\\nb\"", "\"caf\xc3\xa9\"", "\"a\\x01\""}) {
    CAPTURE(name);
    CHECK(faults_of("request: { set: { " + name + ": x } }").find("no field name") !=
          std::string::npos);
  }
  for (const std::string value : {"\"a\\r\\nSet-Cookie: x\"", "\"a\\n\"", "\"\\0\"", "\"\\x7f\"",
                                  "\" a\"", "\"a\\t\"", "[a]", "{ a: b }"}) {
    CAPTURE(value);
    CHECK(faults_of("response: { set: { X: " + value + " } }") != "");
  }
  CHECK(faults_of("response: { add: { X: [a, [b]] } }") != "");
  CHECK(faults_of("response: { set: [X] }") != "");
  CHECK(faults_of("response: { remove: { X: y } }") != "");
}

TEST_CASE("headers: an unknown variable or key is named, all faults at once") {
  const auto text = faults_of(R"(
request: { set: { X-A: $hostname, X-B: "5$", X-C: $ } }
respones: {}
)");
  CHECK(text.find("\"$hostname\"") != std::string::npos);
  CHECK(text.find("$client_address") != std::string::npos);
  CHECK(text.find("response") != std::string::npos);
  Bench bench(make_headers, "request: { set: { X-A: $x, X-B: \"5$\", X-C: \"$ \" } }");
  CHECK(bench.faults.lines().size() == 3);
  CHECK(bench.factory == nullptr);
}
