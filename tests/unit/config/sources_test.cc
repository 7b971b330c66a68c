// Name servers, the watched file, the polled URL, the task's metadata.
#include <string>

#include <doctest/doctest.h>

#include "proxy/config/dump.h"
#include "proxy/config/http_url.h"
#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

Config config(const std::string& lines) {
  const auto loaded = load(with_top(lines));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  return *loaded.config;
}

std::string told(const std::string& line) {
  const std::string at = "t.yaml:1: ";
  const auto found = fault(with_top(line));
  return found.compare(0, at.size(), at) == 0 ? found.substr(at.size()) : "elsewhere: " + found;
}

std::string url_fault(const std::string& url) { return told("poll: { url: \"" + url + "\" }"); }

}  // namespace

TEST_CASE("resolver: values reach the structure") {
  const auto c = config(
      "resolver: { servers: [10.0.0.2, \"10.0.0.3:5353\", \"[fd00::2]:53\", \"fd00::3\"],"
      " timeout: 1s, tries: 3, min_ttl: 2s, max_ttl: 3s, retry: 4s }");
  REQUIRE(c.resolver.servers.size() == 4);
  CHECK(c.resolver.servers[0] == Address{"10.0.0.2", false, "10.0.0.2", 53});
  CHECK(c.resolver.servers[1] == Address{"10.0.0.3:5353", false, "10.0.0.3", 5353});
  CHECK(c.resolver.servers[2] == Address{"[fd00::2]:53", false, "fd00::2", 53});
  CHECK(c.resolver.servers[3] == Address{"fd00::3", false, "fd00::3", 53});
  CHECK(c.resolver.timeout == 1s);
  CHECK(c.resolver.tries == 3);
  CHECK(c.resolver.min_ttl == 2s);
  CHECK(c.resolver.max_ttl == 3s);
  CHECK(c.resolver.retry == 4s);
  CHECK(config("resolver: { servers: \"10.0.0.2, 10.0.0.3:5353\" }").resolver.servers.size() == 2);
  CHECK(config("resolver: { servers: \"\" }").resolver == Resolver{});
}

TEST_CASE("resolver: wrong values are told with the right ones") {
  CHECK(told("resolver: { servers: [ns1.internal] }") ==
        "resolver.servers[0]: \"ns1.internal\" is no address of a name server; write 10.0.0.2, "
        "10.0.0.2:53 or [fd00::2]:53");
  CHECK(told("resolver: { servers: [unix:/a] }").find("is no address of a name server") !=
        std::string::npos);
  CHECK(told("resolver: { min_ttl: 2m }") == "resolver.min_ttl: 2m is longer than max_ttl (1m)");
  CHECK(told("resolver: { max_ttl: 10ms }") ==
        "resolver.max_ttl: 10ms is shorter than min_ttl (1s)");
  CHECK(told("resolver: { sever: [] }").find("did you mean \"servers\"?") != std::string::npos);
  for (const std::string wrong : {"timeout: 0", "tries: 0", "tries: 11", "min_ttl: 0", "max_ttl: 1",
                                  "retry: 0", "servers: { a: b }",
                                  "servers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5, 1.1.1.6, "
                                  "1.1.1.7, 1.1.1.8, 1.1.1.9]"}) {
    CAPTURE(wrong);
    CHECK(told("resolver: { " + wrong + " }").find("resolver.") == 0);
  }
}

TEST_CASE("watch, poll and ecs: values reach the structure") {
  CHECK_FALSE(config("").watch);
  CHECK(config("watch: on").watch);
  const auto poll = config("poll: { url: \"http://localhost:2772/a?b=c\", interval: 1s,"
                           " authorization: Bearer x }").poll;
  CHECK(poll == Poll{"http://localhost:2772/a?b=c", 1s, "Bearer x"});
  CHECK(config("poll: { url: off }").poll == Poll{});
  CHECK(config("poll: { url: \"\" }").poll == Poll{});
  CHECK(config("ecs: { metadata: off, interval: 1s, application: django }").ecs ==
        Ecs{false, 1s, "django"});
  for (const std::string wrong : {"watch: maybe", "poll: { interval: 0 }", "ecs: { interval: 1ms }",
                                  "ecs: { metadata: x }", "ecs: { application: \"a\\nb\" }",
                                  "poll: on"}) {
    CAPTURE(wrong);
    CHECK(told(wrong).find("elsewhere") == std::string::npos);
  }
}

TEST_CASE("poll: a URL is plain HTTP to an address") {
  CHECK(url_fault("https://localhost/a") ==
        "poll.url: \"https://localhost/a\": plain HTTP only; write http://localhost:2772/…");
  CHECK(url_fault("http://config.internal/a") ==
        "poll.url: \"config.internal\" is neither localhost nor an IP address, and is not looked "
        "up; write http://localhost:2772/… or http://10.0.0.2/…");
  for (const std::string wrong :
       {"localhost:2772", "/a", "http://", "http:///a", "http://localhost:0/a",
        "http://localhost:x/a", "http://[::1/a", "http://a b/", "http://localhost/#a",
        "http://localhost/ä", "http://unix:/run/a", "file:///a"}) {
    CAPTURE(wrong);
    CHECK(url_fault(wrong).find("poll.url: ") == 0);
  }
  CHECK(url_fault("http://localhost/" + std::string(2048, 'a')).find("poll.url: is no URL") == 0);
}

TEST_CASE("url: its parts") {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
    const char* authority;
    const char* target;
  };
  for (const Case& c :
       {Case{"http://localhost:2772/applications/a?x=1", "127.0.0.1", 2772, "localhost:2772",
             "/applications/a?x=1"},
        Case{"http://10.0.0.2", "10.0.0.2", 80, "10.0.0.2", "/"},
        Case{"http://[::1]/a", "::1", 80, "[::1]", "/a"},
        Case{"http://[::1]:81?q", "::1", 81, "[::1]:81", "/?q"}}) {
    CAPTURE(std::string{c.text});
    const auto url = parse_http_url(c.text);
    REQUIRE(url);
    CHECK(url->address.host_or_path == c.host);
    CHECK(url->address.port == c.port);
    CHECK(url->authority == c.authority);
    CHECK(url->target == c.target);
  }
}

TEST_CASE("poll: a secret is in no dump and no fault") {
  const std::string url = "url: \"http://localhost:2772/\", ";
  const auto printed = dump(config("poll: { " + url + "authorization: tops3cret }"));
  CHECK(printed.find("authorization: \"(secret)\"") != std::string::npos);
  CHECK(printed.find("tops3cret") == std::string::npos);
  CHECK(dump(config("poll: { " + url + "interval: 1s }")).find("authorization") ==
        std::string::npos);
  for (const std::string wrong :
       {"authorization: \"tops3cret\\n\"", "authorization: [tops3cret]",
        "authorization: { tops3cret: 1 }", "authorization: \"tops3cret ${no such}\"",
        "authorization: \"${tops3cret name}\"", "authorization: \"tops3cret ${open\"",
        "authorisation: tops3cret"}) {
    CAPTURE(wrong);
    const auto found = told("poll: { " + url + wrong + " }");
    CHECK(found.find("poll.authori") == 0);
    CHECK(found.find("tops3cret") == std::string::npos);
  }
  const auto found =
      told("poll: { " + url + "authorization: tops3cret" + std::string(9000, 'x') + " }");
  CHECK(found == "poll.authorization: has 9009 bytes; 8192 is the most");
  const auto user = url_fault("http://user:tops3cret@localhost/");
  CHECK(user.find("poll.url: holds a user or password") == 0);
  CHECK(user.find("tops3cret") == std::string::npos);
}

}  // namespace sluice::config
