#include "proxy/filter/registry.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::filter;

namespace {

class Nothing : public FilterFactory {
 public:
  std::unique_ptr<Filter> make() const override { return std::make_unique<Filter>(); }
  std::string_view name() const override { return "nothing"; }
};

std::unique_ptr<FilterFactory> make_nothing(const config::Node&, config::Faults&) {
  return std::make_unique<Nothing>();
}

std::unique_ptr<FilterFactory> make_fault(const config::Node& settings, config::Faults& faults) {
  faults.add(settings, "is wrong");
  return nullptr;
}

config::Filter named(std::string name) {
  config::Filter filter;
  filter.name = std::move(name);
  filter.place = {"gateway.yaml", 7};
  filter.settings.key = "routes[0].filters[0]." + filter.name;
  return filter;
}

Registry sample() {
  Registry registry;
  registry.add("nothing", make_nothing);
  registry.add("faulty", make_fault);
  return registry;
}

}  // namespace

TEST_CASE("registry: makes the factories of a route in order") {
  config::Faults faults;
  const auto factories = sample().make({named("nothing"), named("nothing")}, faults);
  CHECK(faults.empty());
  REQUIRE(factories.size() == 2);
  CHECK(factories[1]->name() == "nothing");
  CHECK(sample().names() == std::vector<std::string_view>{"nothing", "faulty"});
}

TEST_CASE("registry: every fault is said, an unknown name with what was meant") {
  config::Faults faults;
  sample().make({named("nothin"), named("faulty"), named("zzzzzzzzzz")}, faults);
  REQUIRE(faults.lines().size() == 3);
  CHECK(faults.lines()[0].find("gateway.yaml:7: routes[0].filters[0].nothin: ") == 0);
  CHECK(faults.lines()[0].find("did you mean \"nothing\"?") != std::string::npos);
  CHECK(faults.lines()[1].find("is wrong") != std::string::npos);
  CHECK(faults.lines()[2].find("did you mean") == std::string::npos);
  CHECK(faults.lines()[2].find("nothing") != std::string::npos);
}
