#include "proxy/route/rewrite.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "proxy/http/target.h"
#include "proxy/route/route.h"

using namespace sluice;
using namespace sluice::route;

namespace {

std::string rewrite(const config::Route& config, std::string_view target) {
  const Route route{config, 0};
  http::RequestHead head;
  head.method = "GET";
  REQUIRE(http::parse_target(target, head).has_value());
  Arena arena;
  return std::string{rewrite_target(route, head, arena)};
}

config::Route stripping(std::string prefix) {
  config::Route route;
  route.path = prefix;
  route.strip_prefix = std::move(prefix);
  return route;
}

config::Route replacing(std::string prefix, std::string with) {
  config::Route route;
  route.path = std::move(prefix);
  route.replace_prefix = std::move(with);
  return route;
}

std::optional<std::string> location(std::string_view to, std::string_view target,
                                    std::string_view authority = "example.com:8080",
                                    std::string path = "/old") {
  config::Route config;
  config.path = std::move(path);
  Route route{config, 0};
  auto redirect = Redirect::parse(to);
  REQUIRE(redirect.has_value());
  route.redirect = std::move(*redirect);
  http::RequestHead head;
  head.method = target == "*" ? "OPTIONS" : "GET";
  REQUIRE(http::parse_target(target, head).has_value());
  head.authority = authority;
  Arena arena;
  const auto found = route.redirect_location(head, arena);
  return found ? std::optional<std::string>{*found} : std::nullopt;
}

}  // namespace

TEST_CASE("rewrite: nothing asked for, nothing changed") {
  const config::Route plain;
  for (const auto* target : {"/", "/a//b/../%2e?x=/../y", "/%41?"})
    CHECK(rewrite(plain, target) == target);
}

TEST_CASE(
    "rewrite: strip_prefix takes segments off the raw target and keeps the rest byte for byte") {
  const auto api = stripping("/api");
  CHECK(rewrite(api, "/api/x") == "/x");
  CHECK(rewrite(api, "/api/%78%2F%C3%a9;p=1/?q=%20&a//b") == "/%78%2F%C3%a9;p=1/?q=%20&a//b");
  CHECK(rewrite(api, "/api") == "/");
  CHECK(rewrite(api, "/api?q") == "/?q");
  CHECK(rewrite(api, "/api/?q") == "/?q");
  CHECK(rewrite(api, "/%61pi/x") == "/x");
  CHECK(rewrite(api, "/apix") == "/apix");
  CHECK(rewrite(api, "/other/api/x") == "/other/api/x");
  CHECK(rewrite(stripping("/api/"), "/api/x//y") == "/x//y");
  CHECK(rewrite(stripping("/a/b"), "/a/b/c") == "/c");
  CHECK(rewrite(stripping("/"), "/x") == "/x");
}

TEST_CASE("rewrite: slashes at the cut and dot segments cannot shift it") {
  const auto api = stripping("/api");
  CHECK(rewrite(api, "//api//evil.example/x") == "/evil.example/x");
  CHECK(rewrite(api, "/api//") == "/");
  CHECK(rewrite(api, "/x/../api/y%20z?q") == "/y%20z?q");
  CHECK(rewrite(api, "/api/../api/y") == "/y");
  CHECK(rewrite(api, "/api/a/%2e%2E/b/.") == "/b/");
  CHECK(rewrite(api, "/./api") == "/");
  CHECK(rewrite(api, "/api/%2e./x") == "/api/%2e./x");  // it is /x, not below /api
}

TEST_CASE("rewrite: replace_prefix puts a path in place of the matched one") {
  CHECK(rewrite(replacing("/v1", "/v2"), "/v1/x?q") == "/v2/x?q");
  CHECK(rewrite(replacing("/v1/", "/v2/"), "/v1/x") == "/v2/x");
  CHECK(rewrite(replacing("/v1", "/v2/"), "/v1/x") == "/v2/x");
  CHECK(rewrite(replacing("/v1", "/v2"), "/v1") == "/v2");
  CHECK(rewrite(replacing("/v1/", "/"), "/v1/x") == "/x");
  CHECK(rewrite(replacing("/", "/app"), "/x") == "/app/x");
  CHECK(rewrite(replacing("/", "/app"), "/") == "/app/");
  CHECK(rewrite(replacing("/v1", ""), "/v1?q") == "/?q");
  CHECK(rewrite(replacing("/v1", "/a b\xC3\xA9"), "/v1/x") == "/a%20b%C3%A9/x");
  auto whole = replacing("/", "/new/");
  whole.exact = "/old/x";
  CHECK(rewrite(whole, "/old/x?q") == "/new/?q");
}

TEST_CASE("rewrite: hosts without their port, segments counted") {
  CHECK(host_of("example.com:80") == "example.com");
  CHECK(host_of("example.com") == "example.com");
  CHECK(host_of("[::1]") == "[::1]");
  CHECK(host_of("[::1]:8080") == "[::1]");
  CHECK(host_of("") == "");
  CHECK(count_segments("/") == 0);
  CHECK(count_segments("/a") == 1);
  CHECK(count_segments("/a/b/") == 2);
  CHECK(is_below("/a/b", "/a/"));
  CHECK(is_below("/a", "/a/"));
  CHECK_FALSE(is_below("/ab", "/a"));
}

TEST_CASE("redirect: variables are the raw parts of the request") {
  CHECK(location("https://$host$target", "/old/%20x?a=b") == "https://example.com/old/%20x?a=b");
  CHECK(location("/new$rest", "/old/a%2Fb?x=1") == "/new/a%2Fb?x=1");
  CHECK(location("/new$rest", "/old") == "/new");
  CHECK(location("/new$rest", "/old?x") == "/new?x");
  CHECK(location("$path/", "/old/a?x") == "/old/a/");
  CHECK(location("/s?$query", "/old?a=b") == "/s?a=b");
  CHECK(location("/s?$query", "/old") == "/s");
  CHECK(location("https://$host$rest", "/x/../old/y", "[::1]:80") == "https://[::1]/y");
  CHECK(location("https://new.example$target", "*") == "https://new.example/");
  CHECK(location("https://new.example/", "/old") == "https://new.example/");
}

TEST_CASE("redirect: a client cannot make it lead to another host") {
  CHECK(location("$target", "//evil.example/old") == "/evil.example/old");
  CHECK(location("$path/", "///evil.example") == "/evil.example/");
  CHECK(location("/$rest", "/old//evil.example") == "/evil.example");
  CHECK(location("$rest", "/old//evil.example", "h") == "/evil.example");
  CHECK(location("//cdn.example$target", "/x") == "//cdn.example/x");
  CHECK(location("$rest", "/old") == "/");
}

TEST_CASE("redirect: without a host there is none that needs it") {
  CHECK_FALSE(location("https://$host/", "/old", "").has_value());
  CHECK(location("/new", "/old", "") == "/new");
}

TEST_CASE("redirect: what is no template is said") {
  for (const auto* bad : {"", "/a b", "/\r\nX: y", "/$nothing", "/$", "$HOST", "/\xC3\xA9"}) {
    CAPTURE(bad);
    CHECK_FALSE(Redirect::parse(bad).has_value());
  }
}
