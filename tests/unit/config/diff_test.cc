#include "proxy/config/diff.h"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "proxy/config/dump.h"
#include "proxy/config/load.h"

using namespace sluice;
using config::Change;
using Kind = Change::Kind;

namespace {

config::Options quiet() {
  config::Options how;
  how.check_files = false;
  how.environment = [](std::string_view) { return std::optional<std::string>(); };
  return how;
}

std::string dump_of(const std::string& text) {
  const auto loaded = config::load_text(text, "test.yaml", quiet());
  for (const auto& fault : loaded.faults) MESSAGE(fault);
  REQUIRE(loaded.config != nullptr);
  return config::dump(*loaded.config);
}

std::vector<Change> changes(const std::string& before, const std::string& after) {
  return config::diff(config::tree_of(dump_of(before)).value(),
                      config::tree_of(dump_of(after)).value());
}

constexpr const char* kBase = R"(
listeners: [ { address: 127.0.0.1:8080 }, { address: 127.0.0.1:8081 } ]
routes:
  - { name: one, path: /one, upstream: app }
  - { name: two, path: /two, respond: { body: x } }
upstreams:
  app: { endpoints: [ 127.0.0.1:9000, 127.0.0.1:9001 ] }
)";

std::string base_with(std::string from, const std::string& to) {
  std::string text = kBase;
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("diff: the same says nothing, however it is written") {
  CHECK(changes(kBase, kBase).empty());
  CHECK(changes(kBase, std::string(kBase) + "drain: { min: 5000ms }\n").empty());
}

TEST_CASE("diff: a key of a section that is there once") {
  const auto found = changes(kBase, std::string(kBase) + "drain: { deadline: 9s, max: 8s }\n");
  REQUIRE(found.size() == 2);
  CHECK(found[0] == Change{Kind::kChanged, "drain", "", "max", "20s", "8s"});
  CHECK(found[1] == Change{Kind::kChanged, "drain", "", "deadline", "28s", "9s"});
  const auto workers = changes(kBase, std::string(kBase) + "workers: 4\n");
  REQUIRE(workers.size() == 1);
  CHECK(workers[0] == Change{Kind::kChanged, "workers", "", "", "auto", "4"});
}

TEST_CASE("diff: listeners are known by their address") {
  const auto moved = changes(kBase, base_with("127.0.0.1:8081", "127.0.0.1:8082"));
  REQUIRE(moved.size() == 2);
  CHECK(moved[0].kind == Kind::kAdded);
  CHECK(moved[0].subject == "127.0.0.1:8082");
  CHECK(moved[1].kind == Kind::kRemoved);
  CHECK(moved[1].subject == "127.0.0.1:8081");
  const auto limited = changes(kBase, base_with("address: 127.0.0.1:8081",
                                                "address: 127.0.0.1:8081, limits: { body: 2GiB }"));
  REQUIRE(limited.size() == 1);
  CHECK(limited[0] ==
        Change{Kind::kChanged, "listeners", "127.0.0.1:8081", "limits.body", "1GiB", "2GiB"});
}

TEST_CASE("diff: endpoints are known by their address, and so is their weight") {
  const auto swapped = changes(kBase, base_with("127.0.0.1:9001", "127.0.0.1:9002"));
  REQUIRE(swapped.size() == 2);
  CHECK(swapped[0] == Change{Kind::kAdded, "upstreams", "app", "endpoints", "", "127.0.0.1:9002"});
  CHECK(swapped[1] ==
        Change{Kind::kRemoved, "upstreams", "app", "endpoints", "127.0.0.1:9001", ""});
  const auto heavier =
      changes(kBase, base_with("127.0.0.1:9001", "{ address: 127.0.0.1:9001, weight: 3 }"));
  REQUIRE(heavier.size() == 1);
  CHECK(heavier[0].kind == Kind::kChanged);
  CHECK(heavier[0].key == "endpoints");
  CHECK(
      changes(kBase, base_with("127.0.0.1:9000, 127.0.0.1:9001", "127.0.0.1:9001, 127.0.0.1:9000"))
          .empty());
}

TEST_CASE("diff: routes by their name; their order is a change of its own") {
  const auto other = changes(kBase, base_with("body: x", "body: y"));
  REQUIRE(other.size() == 1);
  CHECK(other[0] == Change{Kind::kChanged, "routes", "two", "respond.body", "x", "y"});
  std::string turned = kBase;
  const std::string one = "  - { name: one, path: /one, upstream: app }\n";
  turned.erase(turned.find(one), one.size());
  turned.insert(turned.find("upstreams:"), one);
  const auto order = changes(kBase, turned);
  REQUIRE(order.size() == 1);
  CHECK(order[0] == Change{Kind::kChanged, "routes", "", "order", "one, two", "two, one"});
}

TEST_CASE("diff: an upstream that is new, with what it says") {
  const auto found = changes(kBase, std::string(kBase) + "  api: { endpoints: [ 127.0.0.1:1 ] }\n");
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == Kind::kAdded);
  CHECK(found[0].subject == "api");
  CHECK(found[0].after.find("127.0.0.1:1") != std::string::npos);
}

TEST_CASE("diff: a configuration and what its dump says are the same") {
  const std::filesystem::path folder = std::filesystem::path(SLUICE_SOURCE_DIR) / "conf";
  int tried = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    CAPTURE(entry.path().string());
    const auto loaded = config::load_file(entry.path().string(), quiet());
    REQUIRE(loaded.config != nullptr);
    const std::string dump = config::dump(*loaded.config);
    const auto again = config::load_text(dump, "dump.yaml", quiet());
    REQUIRE(again.config != nullptr);
    const auto tree = config::tree_of(dump);
    REQUIRE(tree);
    CHECK(config::diff(*tree, config::tree_of(config::dump(*again.config)).value()).empty());
    CHECK(config::diff(*tree, *tree).empty());
    ++tried;
  }
  CHECK(tried >= 2);
}

TEST_CASE("diff: what is no configuration is an error, not a change") {
  CHECK_FALSE(config::tree_of("listeners: ["));
  CHECK_FALSE(config::tree_of("- a list"));
}
