#include "proxy/route/table.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/http/target.h"

using namespace sluice;
using namespace sluice::route;

namespace {

config::Route prefix(std::string path, std::string host = {}) {
  config::Route route;
  route.path = std::move(path);
  route.host = std::move(host);
  route.name = route.host + route.path;
  return route;
}
config::Route exact(std::string path, std::string host = {}) {
  auto route = prefix("/", std::move(host));
  route.exact = std::move(path);
  route.name = "=" + route.host + route.exact;
  return route;
}
config::Route regex(std::string pattern, std::string host = {}) {
  auto route = prefix("/", std::move(host));
  route.regex = std::move(pattern);
  route.name = "~" + route.host + route.regex;
  return route;
}
config::Route with_methods(config::Route route, std::vector<std::string> methods) {
  route.methods = std::move(methods);
  for (const auto& method : route.methods) route.name = method + " " + route.name;
  return route;
}
config::Route with_header(config::Route route, std::string name,
                          std::optional<std::string> value = {}) {
  route.name += "+" + name;
  route.headers.push_back({std::move(name), std::move(value)});
  return route;
}
config::Route internal(config::Route route) {
  route.internal = true;
  route.name = "internal " + route.name;
  return route;
}

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

struct Routes {
  std::vector<config::Route> list;
  config::Faults faults;
  std::unique_ptr<const Table> table;

  explicit Routes(std::vector<config::Route> routes) : list(std::move(routes)) {
    table = Table::build(list, faults);
  }
  static http::RequestHead head(std::string_view host, std::string_view target,
                                std::string_view method = "GET", Fields fields = {}) {
    http::RequestHead head;
    head.method = method;
    head.authority = host;
    REQUIRE(http::parse_target(target, head).has_value());
    for (const auto& [name, value] : fields) head.headers.add(name, value);
    return head;
  }
  std::string find(std::string_view host, std::string_view target, std::string_view method = "GET",
                   Fields fields = {}) const {
    const auto match = table->find(head(host, target, method, fields));
    if (match.route != nullptr) return match.route->config.name;
    return match.is_wrong_method ? "405" : "none";
  }
  std::string allowed(std::string_view target, std::string_view method) const {
    const auto request = head("h", target, method);
    return table->allowed_methods("h", request.path, request);
  }
};

}  // namespace

TEST_CASE("table: the longest prefix wins, by segments") {
  const Routes routes{{prefix("/"), prefix("/static/"), prefix("/static/img"), prefix("/a/b/c")}};
  CHECK(routes.find("h", "/") == "/");
  CHECK(routes.find("h", "/x/y") == "/");
  CHECK(routes.find("h", "/static/") == "/static/");
  CHECK(routes.find("h", "/static/x") == "/static/");
  CHECK(routes.find("h", "/static") == "/static/");
  CHECK(routes.find("h", "/staticfoo") == "/");
  CHECK(routes.find("h", "/static/img") == "/static/img");
  CHECK(routes.find("h", "/static/img/") == "/static/img");
  CHECK(routes.find("h", "/static/imgs") == "/static/");
  CHECK(routes.find("h", "/a/b") == "/");
  CHECK(routes.find("h", "/a/b/c/d") == "/a/b/c");
  CHECK(routes.find("h", "/a/../static/%69mg/x") == "/static/img");
  CHECK(routes.find("h", "/static%2Fimg") == "/");
  CHECK(routes.find("h", "*", "OPTIONS") == "none");
}

TEST_CASE("table: with and without the slash are two prefixes") {
  const Routes routes{{prefix("/a"), prefix("/a/")}};
  CHECK(routes.find("h", "/a") == "/a");
  CHECK(routes.find("h", "/a/") == "/a/");
  CHECK(routes.find("h", "/a/b") == "/a/");
  CHECK(routes.find("h", "/b") == "none");
}

TEST_CASE("table: exact goes before regular expressions, those before prefixes, in file order") {
  const Routes routes{{prefix("/img/deep/path"), regex("/img/.*\\.png"), regex("/img/.*"),
                       exact("/img/deep/path/x.png"), exact("/")}};
  CHECK(routes.find("h", "/img/deep/path/x.png") == "=/img/deep/path/x.png");
  CHECK(routes.find("h", "/img/deep/path/y.png") == "~/img/.*\\.png");
  CHECK(routes.find("h", "/img/deep/path/y.gif") == "~/img/.*");
  CHECK(routes.find("h", "/img") == "none");
  CHECK(routes.find("h", "/") == "=/");
  CHECK(routes.find("h", "/x/img/a.png") == "none");  // the whole path
}

TEST_CASE("table: a regular expression sees bytes: line ends and odd ones do not slip past it") {
  const Routes routes{{prefix("/"), regex("/admin/.*")}};
  CHECK(routes.find("h", "/admin/x%0Ay") == "~/admin/.*");
  CHECK(routes.find("h", "/admin/%ff%c0%ae") == "~/admin/.*");
  CHECK(routes.find("h", "/%61dmin/x") == "~/admin/.*");
}

TEST_CASE("table: many regular expressions are one set, still in file order") {
  std::vector<config::Route> list = {prefix("/")};
  for (int i = 0; i < 50; ++i) list.push_back(regex("/r" + std::to_string(i) + "/[0-9]+"));
  list.push_back(regex("/r7/.*"));
  list.push_back(with_methods(regex("/m/.*"), {"PUT"}));
  const Routes routes{list};
  CHECK(routes.find("h", "/r7/123") == "~/r7/[0-9]+");
  CHECK(routes.find("h", "/r7/abc") == "~/r7/.*");
  CHECK(routes.find("h", "/r49/1") == "~/r49/[0-9]+");
  CHECK(routes.find("h", "/r49/a") == "/");
  CHECK(routes.find("h", "/m/x", "PUT") == "PUT ~/m/.*");
  CHECK(routes.find("h", "/m/x") == "/");
}

TEST_CASE("table: exact host, then the longest wildcard, then any") {
  const Routes routes{{prefix("/"), prefix("/", "example.com"), prefix("/", "*.example.com"),
                       prefix("/", "*.b.example.com"), prefix("/", "[::1]")}};
  CHECK(routes.find("example.com", "/") == "example.com/");
  CHECK(routes.find("EXAMPLE.Com.:8080", "/") == "example.com/");
  CHECK(routes.find("a.example.com", "/") == "*.example.com/");
  CHECK(routes.find("x.a.example.com", "/") == "*.example.com/");
  CHECK(routes.find("a.b.example.com", "/") == "*.b.example.com/");
  CHECK(routes.find("b.example.com", "/") == "*.example.com/");
  CHECK(routes.find("notexample.com", "/") == "/");
  CHECK(routes.find("[::1]:80", "/") == "[::1]/");
  CHECK(routes.find("", "/") == "/");
  CHECK(routes.find(".example.com", "/") == "/");
  CHECK(routes.find(std::string(300, 'a') + ".example.com", "/") == "/");
}

TEST_CASE("table: what the more specific host has not is looked for in the less specific") {
  const Routes routes{
      {prefix("/"), prefix("/api/", "*.example.com"), prefix("/v2", "a.example.com")}};
  CHECK(routes.find("a.example.com", "/v2") == "a.example.com/v2");
  CHECK(routes.find("a.example.com", "/api/x") == "*.example.com/api/");
  CHECK(routes.find("a.example.com", "/x") == "/");
}

TEST_CASE("table: when conditions fail, the next longest is tried") {
  const Routes routes{{prefix("/"), with_header(prefix("/api/"), "X-Beta"),
                       with_header(prefix("/api/"), "X-Beta", "2"),
                       with_methods(prefix("/api/v1"), {"POST"}), prefix("/api/")}};
  CHECK(routes.find("h", "/api/x") == "/api/");
  CHECK(routes.find("h", "/api/x", "GET", {{"x-beta", "1"}}) == "/api/+X-Beta");
  CHECK(routes.find("h", "/api/v1", "POST") == "POST /api/v1");
  CHECK(routes.find("h", "/api/v1/x", "GET") == "/api/");
  const Routes values{
      {with_header(prefix("/"), "X-A", "1"), with_header(prefix("/x"), "X-A", "2")}};
  CHECK(values.find("h", "/x", "GET", {{"X-A", "1"}}) == "/+X-A");
  CHECK(values.find("h", "/x", "GET", {{"X-A", "0"}, {"X-A", "2"}}) == "/x+X-A");
  CHECK(values.find("h", "/x") == "none");
}

TEST_CASE("table: an upgrade that was asked for counts as the field it was") {
  const Routes routes{{prefix("/"), with_header(prefix("/ws"), "Upgrade", "websocket")}};
  auto head = Routes::head("h", "/ws");
  CHECK(routes.table->find(head).route->config.name == "/");
  head.upgrade = "WebSocket";
  CHECK(routes.table->find(head).route->config.name == "/ws+Upgrade");
}

TEST_CASE("table: 405 and its methods when only the method failed") {
  const Routes routes{{with_methods(prefix("/a"), {"GET"}),
                       with_methods(prefix("/a/b"), {"POST", "GET"}),
                       with_header(with_methods(prefix("/"), {"PUT"}), "X-Admin"),
                       internal(with_methods(prefix("/a"), {"DELETE"}))}};
  CHECK(routes.find("h", "/a", "GET") == "GET /a");
  CHECK(routes.find("h", "/a", "HEAD") == "GET /a");
  CHECK(routes.find("h", "/a/b", "POST") == "GET POST /a/b");
  CHECK(routes.find("h", "/a", "POST") == "405");
  CHECK(routes.find("h", "/a", "get") == "405");
  CHECK(routes.find("h", "/c", "POST") == "none");
  CHECK(routes.allowed("/a/b", "DELETE") == "POST, GET, HEAD");
  CHECK(routes.allowed("/a", "POST") == "GET, HEAD");
}

TEST_CASE("table: internal routes are found from inside only") {
  const Routes routes{{prefix("/"), internal(prefix("/protected/")), prefix("/files")}};
  CHECK(routes.find("h", "/protected/x") == "/");
  const auto head = Routes::head("h", "/download/7");
  const auto found = [&routes, &head](std::string_view path) {
    const auto match = routes.table->find_internal("h", path, head);
    return match.route == nullptr ? std::string{"none"} : match.route->config.name;
  };
  CHECK(found("/protected/x") == "internal /protected/");
  CHECK(found("/files/x") == "/files");
  CHECK(found("/x") == "/");
}

TEST_CASE("table: what follows the prefix, for files") {
  const Routes routes{
      {prefix("/static/"), prefix("/media"), exact("/well/robots.txt"), regex("/r/.*")}};
  const auto rest = [&routes](std::string_view path) {
    http::RequestHead head;
    const auto match = routes.table->find("h", path, head);
    REQUIRE(match.route != nullptr);
    return std::string{match.route->rest_of(path)};
  };
  CHECK(rest("/static") == "");
  CHECK(rest("/static/") == "/");
  CHECK(rest("/static/a/b") == "/a/b");
  CHECK(rest("/media/x") == "/x");
  CHECK(rest("/well/robots.txt") == "/robots.txt");
  CHECK(rest("/r/a/b") == "/r/a/b");
}

TEST_CASE("table: a regular expression or redirect that is none is a fault with its place") {
  auto bad = regex("/a(");
  bad.place = {"gateway.yaml", 7};
  auto lost = prefix("/old");
  lost.action = config::Action::kRedirect;
  lost.redirect.to = "/new$nothing";
  lost.place = {"gateway.yaml", 9};
  const Routes routes{{bad, prefix("/"), lost}};
  REQUIRE(routes.faults.lines().size() == 2);
  CHECK(routes.faults.lines()[0].find("gateway.yaml:7: routes[0].regex: ") == 0);
  CHECK(routes.faults.lines()[1].find(
            "gateway.yaml:9: routes[2].redirect: no variable \"$nothing\"") == 0);
  CHECK(routes.find("h", "/a(") == "/");
}

TEST_CASE("table: ten thousand hosts and paths keep apart") {
  std::vector<config::Route> list;
  for (int i = 0; i < 5000; ++i) {
    list.push_back(prefix("/", "h" + std::to_string(i) + ".example.com"));
    list.push_back(prefix("/p/" + std::to_string(i) + "/"));
  }
  const Routes routes{list};
  CHECK(routes.find("h4321.example.com", "/x") == "h4321.example.com/");
  CHECK(routes.find("other", "/p/4999/x") == "/p/4999/");
  CHECK(routes.find("other", "/p/5000/x") == "none");
  CHECK(routes.find("other", "/p") == "none");
}
