// The filters that ship, as conf/ speaks of them.
#include "plugins/all.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "proxy/config/load.h"

namespace sluice::plugins {
namespace {

std::string conf(const std::string& name) {
  std::ifstream file{std::string{SLUICE_SOURCE_DIR} + "/conf/" + name};
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The reference's example of all filters, without its comment signs, as a route's.
std::string filters_of_reference() {
  std::istringstream reference{conf("reference.yaml")};
  std::string text = "listeners: [ { address: 127.0.0.1:0 } ]\nroutes:\n  - respond: {}\n";
  bool within = false;
  for (std::string line; std::getline(reference, line);) {
    within = within ? line.starts_with("    # ") : line == "    # filters:";
    if (within) text += "    " + line.substr(6) + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("all: the reference's example is right and shows every filter") {
  filter::Registry registry;
  register_all(registry);
  config::Options options;
  options.filters = &registry;
  options.environment = [](std::string_view) { return std::nullopt; };
  const auto loaded = config::load_text(filters_of_reference(), "reference.yaml", options);
  std::string faults;
  for (const auto& fault : loaded.faults) faults += fault + "\n";
  CAPTURE(faults);
  REQUIRE(loaded.config);
  const auto names = registry.names();
  std::set<std::string> shown;
  for (const auto& filter : loaded.config->routes[0].filters) shown.insert(filter.name);
  CHECK(shown == std::set<std::string>{names.begin(), names.end()});
}

TEST_CASE("all: the schema knows their names") {
  filter::Registry registry;
  register_all(registry);
  const auto schema = nlohmann::json::parse(conf("schema.json"), nullptr, false);
  REQUIRE_FALSE(schema.is_discarded());
  const auto& items = schema["$defs"]["route"]["properties"]["filters"]["items"];
  std::set<std::string> known;
  for (const auto& name : items["propertyNames"]["enum"]) known.insert(name);
  const auto names = registry.names();
  CHECK(known == std::set<std::string>{names.begin(), names.end()});
}

}  // namespace sluice::plugins
