#include "proxy/http/target.h"

#include <doctest/doctest.h>

#include <string>

using namespace sluice;
using namespace sluice::http;

namespace {

struct Pair {
  const char* raw;
  const char* want;
};

std::string normal(std::string_view path) {
  Arena arena;
  const auto out = normalize_path(path, arena);
  return out ? std::string{*out} : "refused";
}

// 0 or the fault's status.
int parse(std::string_view raw, RequestHead& head, std::string_view method = "GET") {
  head.method = method;
  const auto done = parse_target(raw, head);
  return done ? 0 : done.error().status;
}

int parse(std::string_view raw, std::string_view method = "GET") {
  RequestHead head;
  return parse(raw, head, method);
}

}  // namespace

TEST_CASE("path: what is normal already is not copied") {
  Arena arena;
  const std::string_view path = "/a/b.c/d..e/~x;y=z";
  CHECK(normalize_path(path, arena)->data() == path.data());
}

TEST_CASE("path: dot segments and empty ones are resolved, never above the root") {
  for (const Pair& pair : std::initializer_list<Pair>{{"/", "/"},
                                                      {"//", "/"},
                                                      {"/.", "/"},
                                                      {"/..", "/"},
                                                      {"/../..", "/"},
                                                      {"/a/.", "/a/"},
                                                      {"/a/..", "/"},
                                                      {"/a/b/..", "/a/"},
                                                      {"/a/b/../", "/a/"},
                                                      {"/a//b", "/a/b"},
                                                      {"//a///b//", "/a/b/"},
                                                      {"/a/./b/../../c", "/c"},
                                                      {"/../etc/passwd", "/etc/passwd"},
                                                      {"/a/../../b", "/b"},
                                                      {"/...", "/..."},
                                                      {"/..a/.b", "/..a/.b"},
                                                      {"/a/..;/b", "/a/..;/b"},
                                                      {"/.well-known/x", "/.well-known/x"},
                                                      {"/a/.../b", "/a/.../b"}}) {
    CAPTURE(pair.raw);
    CHECK(normal(pair.raw) == pair.want);
  }
}

TEST_CASE("path: decoded once, and slashes stay encoded") {
  for (const Pair& pair : std::initializer_list<Pair>{{"/%61", "/a"},
                                                      {"/a%20b", "/a b"},
                                                      {"/%2e%2e/x", "/x"},
                                                      {"/a/%2E%2e/b", "/b"},
                                                      {"/a/.%2e/b", "/b"},
                                                      {"/a/%2e/b", "/a/b"},
                                                      {"/a%2fb", "/a%2Fb"},
                                                      {"/..%2f..%2fetc", "/..%2F..%2Fetc"},
                                                      {"/a%2F..%2Fb", "/a%2F..%2Fb"},
                                                      {"/%252e%252e/x", "/%2e%2e/x"},
                                                      {"/%5c..%5cx", "/\\..\\x"},
                                                      {"/caf%C3%A9", "/caf\xc3\xa9"},
                                                      {"/%c0%ae%c0%ae/x", "/\xc0\xae\xc0\xae/x"},
                                                      {"/a%0d%0ab", "/a\r\nb"},
                                                      {"/+", "/+"}}) {
    CAPTURE(pair.raw);
    CHECK(normal(pair.raw) == pair.want);
  }
}

TEST_CASE("path: bad escapes and NUL match nothing") {
  for (const char* raw : {"/%", "/%1", "/%zz", "/%u002e", "/a%00b", "/%0g", "/%/", "", "a", "*"}) {
    CAPTURE(raw);
    CHECK(normal(raw) == "refused");
  }
}

TEST_CASE("path: long climbs stay linear and inside") {
  std::string updown;
  for (int i = 0; i < 3000; ++i) updown += "/sub/..";
  CHECK(normal(updown + "/../../x") == "/x");
}

TEST_CASE("target: origin-form is kept exactly as sent") {
  RequestHead head;
  const std::string raw = "//c//x/../%2e?a=%2e%2e%2f&b=%00&c=%zz&d=/?:@!$&'()*+,;=\\|{}^`\"<>";
  REQUIRE(parse(raw, head) == 0);
  CHECK(head.target == raw);
  CHECK(head.path == "/c/");
  CHECK(head.query == std::string_view{raw}.substr(raw.find('?') + 1));
}

TEST_CASE("target: a path that cannot be decoded has no normal form, but is forwarded") {
  RequestHead head;
  REQUIRE(parse("/c/a%00b", head) == 0);
  CHECK(head.target == "/c/a%00b");
  CHECK(head.path.empty());
}

TEST_CASE("target: what is no target") {
  for (const std::string_view raw : {"",
                                     "c/x",
                                     "example.com:80",
                                     "http:///c",
                                     "http:/c",
                                     "http://",
                                     "http://u@h/c",
                                     "http://h:x/c",
                                     "http://h:99999/",
                                     "ftp://h/c",
                                     "http//h/",
                                     "/a#f",
                                     "/a b",
                                     "/a\tb",
                                     "/a\x7f",
                                     "/caf\xc3\xa9",
                                     "/a\\b",
                                     "http://h\\c/",
                                     "http://a,b/",
                                     "http://[::1/",
                                     "?x",
                                     "*",
                                     "**",
                                     "http://h#f",
                                     "://h/",
                                     "https:",
                                     "\\\\h\\c"}) {
    CAPTURE(raw);
    CHECK(parse(raw) == 400);
  }
}

TEST_CASE("target: CONNECT is refused in any form") {
  CHECK(parse("example.com:443", "CONNECT") == 405);
  CHECK(parse("/x", "CONNECT") == 405);
}

TEST_CASE("target: asterisk-form is for OPTIONS") {
  RequestHead head;
  REQUIRE(parse("*", head, "OPTIONS") == 0);
  CHECK(head.target == "*");
  RequestHead whole;
  REQUIRE(parse("http://example.com", whole, "OPTIONS") == 0);
  CHECK(whole.target == "*");
  CHECK(whole.authority == "example.com");
}

TEST_CASE("target: absolute-form is reduced, and its authority replaces Host") {
  RequestHead head;
  head.headers.add("Host", "other.example");
  REQUIRE(parse("hTTp://Example.com:8080/c/x?q=1", head) == 0);
  CHECK(head.target == "/c/x?q=1");
  CHECK(head.path == "/c/x");
  CHECK(head.query == "q=1");
  CHECK(head.authority == "Example.com:8080");
  CHECK(head.headers.get(HeaderId::kHost) == "Example.com:8080");
  CHECK(head.headers.count(HeaderId::kHost) == 1);

  RequestHead bare;
  REQUIRE(parse("https://example.com", bare) == 0);
  CHECK(bare.target == "/");
  CHECK_FALSE(bare.headers.has(HeaderId::kHost));
  RequestHead query;
  REQUIRE(parse("http://[::1]?x=/y", query) == 0);
  CHECK(query.target == "/?x=/y");
  CHECK(query.path == "/");
  CHECK(query.query == "x=/y");
  CHECK(query.authority == "[::1]");

  RequestHead bad_host;
  bad_host.headers.add("Host", "a b");
  CHECK(parse("http://example.com/", bad_host) == 400);
}
