#include "proxy/config/route.h"

#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

Route route(const std::string& text) {
  const auto loaded = load(with_route(text));
  CAPTURE(text);
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  return loaded.config->routes[0];
}

// Takes one filter, `known`, whose settings must be empty.
class OneFilter final : public FilterCheck {
 public:
  std::vector<std::string_view> names() const override { return {"known"}; }
  bool check(const Filter& filter, Faults& faults) const override {
    MapReader map{filter.settings, faults};
    map.finish();
    return faults.empty();
  }
};

}  // namespace

TEST_CASE("route: conditions reach the structure") {
  const Route r = route(
      "{ host: \"*.Example.com\", path: /a/, methods: [GET, HEAD], headers: { X-A: \"1\", X-B: ~ },"
      " internal: on, strip_prefix: /a, upstream: app, timeouts: { request: 9s }, body: 5MB,"
      " name: mine, filters: [ { compress: { min: 1 } }, { headers: } ] }");
  CHECK(r.name == "mine");
  CHECK(r.host == "*.example.com");
  CHECK(r.path == "/a/");
  CHECK(r.methods == std::vector<std::string>{"GET", "HEAD"});
  REQUIRE(r.headers.size() == 2);
  CHECK(r.headers[0] == HeaderCondition{"X-A", "1"});
  CHECK(r.headers[1] == HeaderCondition{"X-B", std::nullopt});
  CHECK(r.internal);
  CHECK(r.strip_prefix == "/a");
  CHECK_FALSE(r.replace_prefix);
  CHECK(r.action == Action::kUpstream);
  CHECK(r.upstream == "app");
  CHECK(r.timeouts.request == 9s);
  CHECK(r.body == 5'000'000_B);
  CHECK_FALSE(r.buffering);
  REQUIRE(r.filters.size() == 2);
  CHECK(r.filters[0].name == "compress");
  CHECK(r.filters[0].settings.find("min")->key == "routes[0].filters[0].compress.min");
  CHECK(r.filters[1].settings.is_null());
}

TEST_CASE("route: headers as a list mean presence") {
  const Route r = route("{ headers: [X-A, X-B], upstream: app }");
  REQUIRE(r.headers.size() == 2);
  CHECK(r.headers[1] == HeaderCondition{"X-B", std::nullopt});
  CHECK(fault(with_route("{ headers: [\"X A\"], upstream: app }")).find("no name of a header") !=
        std::string::npos);
}

TEST_CASE("route: the four actions") {
  const Route files = route(
      "{ path: /s/, static: { root: /r, index: a.html, "
      " try_files: [$path, $path/, /f.html, $path.html],"
      " fallback: app, cache_control: \"max-age=1\", listing: on, precompressed: off, hidden: on,"
      " follow_symlinks: on, types: { x: text/x } } }");
  CHECK(files.action == Action::kStatic);
  CHECK(files.files.root == "/r");
  CHECK(files.files.index == std::vector<std::string>{"a.html"});
  const std::vector<std::string> tries = {"$path", "$path/", "/f.html", "$path.html"};
  CHECK(files.files.try_files == tries);
  CHECK(files.files.fallback == "app");
  CHECK(files.files.cache_control == "max-age=1");
  CHECK(files.files.listing);
  CHECK_FALSE(files.files.precompressed);
  CHECK(files.files.hidden);
  CHECK(files.files.follow_symlinks);
  CHECK(files.files.types.at("x") == "text/x");

  const Route shorthand = route("{ redirect: \"https://$host$target\" }");
  CHECK(shorthand.action == Action::kRedirect);
  CHECK(shorthand.redirect == Redirect{"https://$host$target", 308});
  const Route redirect = route("{ redirect: { to: /new$rest, status: 302 } }");
  CHECK(redirect.redirect == Redirect{"/new$rest", 302});

  const Route respond = route("{ respond: { status: 404, body: no, content_type: text/x } }");
  CHECK(respond.action == Action::kRespond);
  CHECK(respond.respond == Respond{404, "no", "text/x", Health::kNone});
  CHECK(route("{ respond: { health: ready } }").respond.health == Health::kReady);
  CHECK(route("{ respond: { health: live } }").respond.health == Health::kLive);
}

TEST_CASE("route: exactly one action") {
  CHECK(fault(with_route("{ path: / }")) ==
        "t.yaml:2: routes[0]: does nothing; give one of upstream, static, redirect, respond");
  CHECK(fault(with_route("{ upstream: app, redirect: /x }")) ==
        "t.yaml:2: routes[0]: has both upstream and redirect; a route does one thing");
}

TEST_CASE("route: what could never match, or never work, is refused") {
  for (const std::string wrong :
       {"path: a", "path: /a//b", "path: /a/../b", "path: /./a", "path: \"/a?b\"", "path: /a%20b",
        "path: \"/a\\x7f\"", "regex: \"/a\\n\"", "exact: a",
        "regex: \"\"", "path: /, exact: /a", "host: a.*.b", "host: \"http://a\"",
        "host: \"a:80\"", "host: \"*.\"", "host: \"a b\"", "methods: [get]",
        "methods: [\"G T\"]",
        "strip_prefix: a", "replace_prefix: a", "strip_prefix: /a, replace_prefix: /b",
        "regex: /a, replace_prefix: /b", "timeouts: { request: 1ms }", "filters: { a: {} }",
        "filters: [a]", "filters: [ { a: {}, b: {} } ]", "body: x", "name: \"a\\nb\""}) {
    CAPTURE(wrong);
    const auto text = with_route("{ upstream: app, " + wrong + " }");
    CHECK(fault(text).find("t.yaml:2: routes[0]") == 0);
  }
  for (const std::string wrong :
       {"redirect: nowhere", "redirect: \"/$uri\"", "redirect: { to: \"/a\\nb\" }",
        "redirect: { to: /a, status: 300 }", "redirect: { status: 301 }",
        "respond: { status: 100 }", "respond: { status: 204, body: x }",
        "respond: { health: ready, status: 200 }", "respond: { content_type: \"a\\r\\nb\" }",
        "static: { index: [a] }", "static: { root: rel }", "static: { root: /, index: [a/b] }",
        "static: { root: /, try_files: [$uri] }",
        "static: { root: /, try_files: [$path$path] }", "static: { root: /, try_files: [a] }",
        "static: { root: /, fallback: nobody }",
        "static: { root: /, types: { .x: text/x } }", "static: { root: /, types: { x: y } }",
        "redirect: /x, buffering: off", "respond: {}, strip_prefix: /a"}) {
    CAPTURE(wrong);
    const auto text = with_route("{ path: /p, " + wrong + " }");
    CHECK(fault(text).find("t.yaml:2: routes[0]") == 0);
  }
}

TEST_CASE("route: paths that are fine") {
  for (const std::string path : {"/", "/a", "/a/", "/a.b/c~d", "/a%2Fb", "/한글", "/a b"}) {
    CAPTURE(path);
    CHECK(route("{ upstream: app, path: \"" + path + "\" }").path == path);
  }
}

TEST_CASE("route: a root has to be there, when files are looked at") {
  const auto text = with_route("{ path: /s/, static: { root: /nowhere/at/all } }");
  Options strict = options();
  strict.check_files = true;
  CHECK(fault(load(text, strict)) ==
        "t.yaml:2: routes[0].static.root: \"/nowhere/at/all\": No such file or directory");
  CHECK(fault(load(with_route("{ path: /s/, static: { root: /dev/null } }"), strict)) ==
        "t.yaml:2: routes[0].static.root: \"/dev/null\" is no folder");
  CHECK(load(with_route("{ path: /s/, static: { root: / } }"), strict).config);
}

TEST_CASE("route: buffering starts from the upstream's") {
  const auto loaded = load(
      "listeners: [ { address: \":0\" } ]\n"
      "routes:\n"
      "  - { path: /, upstream: app }\n"
      "  - { path: /part, upstream: app, buffering: { request: off } }\n"
      "  - { path: /off, upstream: app, buffering: off }\n"
      "upstreams: { app: { endpoints: \"127.0.0.1:1\", buffering: { memory: 8k } } }\n");
  REQUIRE(loaded.config);
  CHECK_FALSE(loaded.config->routes[0].buffering);
  CHECK(loaded.config->routes[1].buffering == Buffering{false, true, 8_KiB, 1_GiB});
  CHECK(loaded.config->routes[2].buffering == Buffering{false, false, 8_KiB, 1_GiB});
}

TEST_CASE("route: what may be repeated beside the idempotent methods") {
  CHECK(route("{ upstream: app }").retry == RouteRetry{});
  CHECK(route("{ upstream: app, retry: { methods: [POST, PATCH], idempotency_key: on } }").retry ==
        RouteRetry{{"POST", "PATCH"}, true});
  CHECK(route("{ upstream: app, retry: { methods: \"POST, PATCH\" } }").retry.methods.size() == 2);
  CHECK(fault(with_route("{ upstream: app, retry: { methods: [post] } }")) ==
        "t.yaml:2: routes[0].retry.methods[0]: \"post\" is no method; they are written in "
        "capitals, as in GET");
  CHECK(fault(with_route("{ upstream: app, retry: { attempts: 3 } }")) ==
        "t.yaml:2: routes[0].retry.attempts: does not stand here; write it with the upstream: "
        "upstreams: { app: { retry: { attempts: 2 } } }");
  CHECK(fault(with_route("{ redirect: /x, retry: { idempotency_key: on } }")) ==
        "t.yaml:2: routes[0].retry: is for routes to an upstream; leave it out here");
}

TEST_CASE("route: filters are asked for by name, and see their settings") {
  const OneFilter filters;
  Options with = options();
  with.filters = &filters;
  CHECK(load(with_route("{ upstream: app, filters: [ { known: {} } ] }"), with).config);
  CHECK(fault(load(with_route("{ upstream: app, filters: [ { knwon: {} } ] }"), with)) ==
        "t.yaml:2: routes[0].filters[0].knwon: there is no such filter, did you mean \"known\"?");
  CHECK(fault(load(with_route("{ upstream: app, filters: [ { known: { a: 1 } } ] }"), with))
            .find("t.yaml:2: routes[0].filters[0].known.a: unknown key") == 0);
}

TEST_CASE("route: names are made of host and path, and are never alike") {
  const auto loaded = load(with_route(
      "{ path: /, upstream: app }\n"
      "  - { path: /, host: a.com, upstream: app }\n"
      "  - { path: /, methods: [GET], upstream: app }\n"
      "  - { exact: /x, upstream: app }\n"
      "  - { regex: \"/y[0-9]\", upstream: app }\n"
      "  - { path: /z, name: \"/ #3\", upstream: app }\n"
      "  - { path: /, methods: [PUT], upstream: app }\n"));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  std::vector<std::string> names;
  for (const auto& r : loaded.config->routes) names.push_back(r.name);
  CHECK(names == std::vector<std::string>{"/", "a.com/", "/ #2", "/x", "/y[0-9]", "/ #3", "/ #4"});
}

}  // namespace sluice::config
