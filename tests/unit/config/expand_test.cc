#include "proxy/config/expand.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

Node scalar(std::string_view text) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.scalar = text;
  node.file = "t.yaml";
  node.line = 1;
  node.key = "k";
  return node;
}

std::string expanded(std::string_view text) {
  Node node = scalar(text);
  Faults faults;
  expand(node, environment({{"A", "one"}, {"EMPTY", ""}, {"TRAP", "${A}"}}), faults);
  return faults.empty() ? node.scalar : "fault: " + faults.lines()[0];
}

}  // namespace

TEST_CASE("expand: variables, defaults and escapes") {
  CHECK(expanded("${A}") == "one");
  CHECK(expanded("x-${A}-${A}-y") == "x-one-one-y");
  CHECK(expanded("${B:-two}") == "two");
  CHECK(expanded("${A:-two}") == "one");
  CHECK(expanded("${EMPTY}") == "");
  CHECK(expanded("${EMPTY:-two}") == "two");
  CHECK(expanded("${B:-}") == "");
  CHECK(expanded("${B:-${A}}") == "one");
  CHECK(expanded("${B:-${C:-deep}}!") == "deep!");
  CHECK(expanded("${B:-0.0.0.0:8080}") == "0.0.0.0:8080");
}

TEST_CASE("expand: other dollars stay, and values are not looked at again") {
  CHECK(expanded("https://$host$target") == "https://$host$target");
  CHECK(expanded("$") == "$");
  CHECK(expanded("a$$b") == "a$$b");
  CHECK(expanded("$${A}") == "${A}");
  CHECK(expanded("$${A}${A}") == "${A}one");
  CHECK(expanded("${TRAP}") == "${A}");
}

TEST_CASE("expand: a missing variable is a fault with its remedy") {
  CHECK(expanded("${B}") ==
        "fault: t.yaml:1: k: the environment has no B; set it, or write ${B:-default}");
  CHECK(expanded("${A").find("without its }") != std::string::npos);
  CHECK(expanded("${}").find("names no variable") != std::string::npos);
  CHECK(expanded("${1A}").find("names no variable") != std::string::npos);
  CHECK(expanded("${A B}").find("names no variable") != std::string::npos);
  CHECK(expanded("${A-x}").find("names no variable") != std::string::npos);
}

TEST_CASE("expand: depth and length end somewhere") {
  std::string deep = "x";
  for (int i = 0; i < 100; ++i) deep = "${B:-" + deep + "}";
  CHECK(expanded(deep).find("beyond reason") != std::string::npos);
  Node node = scalar("${L}${L}${L}");
  Faults faults;
  expand(node, environment({{"L", std::string(500'000, 'x')}}), faults);
  CHECK_FALSE(faults.empty());
}

TEST_CASE("expand: a value never becomes structure") {
  const auto with = options({{"P", "/a, level: debug"}});
  const auto loaded = load(with_top("log: { path: \"${P}\" }"), with);
  REQUIRE(loaded.config);
  CHECK(loaded.config->log.path == "/a, level: debug");
  CHECK(loaded.config->log.level == LogLevel::kInfo);
}

}  // namespace sluice::config
