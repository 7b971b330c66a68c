// The example of plugins/README.md: it works, and the page shows the very text that was compiled.
#include "plugins/example/maintenance.h"

#include <fstream>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "plugins/all.h"
#include "tests/unit/plugins/bench.h"

using namespace sluice;
using namespace sluice::plugins;
using filter::Verdict;

namespace {

std::string read(const std::string& path) {
  std::ifstream file(std::string{SLUICE_SOURCE_DIR} + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("maintenance: everybody gets 503 but those who are let in") {
  Bench bench(make_maintenance, "{ message: Later., retry_after: 120, let_in: [203.0.113.7] }");
  REQUIRE(bench.wrong() == "");
  CHECK(bench.on_request() == Verdict::kContinue);
  CHECK(bench.on_response() == Verdict::kContinue);
  CHECK(bench.said("X-Maintenance") == "on");
  bench.host.client = "203.0.113.8";
  CHECK(bench.on_request() == Verdict::kAnswered);
  CHECK(bench.host.answers == 1);
  CHECK(bench.host.answered_head.status == 503);
  CHECK(bench.host.answered_head.headers.get("Retry-After") == "120");
  CHECK(bench.host.answered_body == "Later.");
}

TEST_CASE("maintenance: wrong settings are said") {
  const Bench bench(make_maintenance, "{ retry_after: 0, mesage: x }");
  CHECK(bench.faults.lines().size() == 2);
  CHECK(bench.wrong().find("message") != std::string::npos);
}

TEST_CASE("plugins: README.md shows the example as it is compiled") {
  const auto page = read("plugins/README.md");
  const auto source = read("plugins/example/maintenance.cc");
  REQUIRE(source.size() > 1000);
  CHECK(page.find("```cpp\n" + source + "```") != std::string::npos);
}

TEST_CASE("plugins: the shipped filters are registered, the example is not") {
  filter::Registry registry;
  register_all(registry);
  CHECK(registry.names() == std::vector<std::string_view>{"headers", "compress", "ip_access"});
}
