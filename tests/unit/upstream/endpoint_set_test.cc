#include "proxy/upstream/endpoint_set.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/fake_names.h"

using namespace sluice;
using namespace sluice::upstream;
using sluice::testing::address_of;

namespace {

using Kind = config::EndpointSource::Kind;

config::EndpointSource address_source(const std::string& host, uint32_t weight = 1,
                                      uint32_t priority = 0) {
  config::EndpointSource source;
  source.address = {"", false, host, 80};
  source.weight = weight;
  source.priority = priority;
  return source;
}

config::EndpointSource name_source(Kind kind, uint32_t weight = 1, uint32_t priority = 0) {
  config::EndpointSource source;
  source.kind = kind;
  source.name = "app";
  source.port = 80;
  source.weight = weight;
  source.priority = priority;
  return source;
}

Found found(const std::string& host, uint32_t weight = 1, uint32_t group = 0) {
  return {address_of(host, 80), host + ":80", weight, group};
}

const auto kNothing = [](const config::EndpointSource&) -> const std::vector<Found>* {
  return nullptr;
};

std::vector<std::string> names(const std::vector<Member>& members) {
  std::vector<std::string> out;
  for (const Member& member : members) out.push_back(member.name);
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("endpoint set: addresses, in the order of the file") {
  const auto set =
      members_of({address_source("10.0.0.2", 3), address_source("10.0.0.1", 1, 2)}, kNothing, {});
  REQUIRE(names(set) == Texts{"10.0.0.2:80", "10.0.0.1:80"});
  CHECK(set[0].weight == 3);
  CHECK(set[1].priority == 2);
  CHECK(set[1].source == "file");
}

TEST_CASE("endpoint set: a DNS name has the source's weight, a service its own") {
  const std::vector<Found> known = {found("10.0.0.1", 7, 0), found("10.0.0.2", 9, 1)};
  const auto find = [&known](const config::EndpointSource&) { return &known; };
  const auto dns = members_of({name_source(Kind::kDns, 5, 1)}, find, {});
  CHECK(dns[0].weight == 5);
  CHECK(dns[0].priority == 1);
  CHECK(dns[0].source == "dns://app:80");
  const auto srv = members_of({name_source(Kind::kSrv, 5, 1)}, find, {});
  CHECK(srv[0].weight == 7);
  CHECK(srv[1].priority == 2);
  CHECK(srv[0].source == "srv://app");
}

TEST_CASE("endpoint set: a name that is not known yet adds nothing") {
  CHECK(members_of({name_source(Kind::kDns)}, kNothing, {}).empty());
}

TEST_CASE("endpoint set: each address once, as it was mentioned first") {
  const std::vector<Found> known = {found("10.0.0.1"), found("10.0.0.2")};
  const auto find = [&known](const config::EndpointSource&) { return &known; };
  const auto set =
      members_of({address_source("10.0.0.2", 8), name_source(Kind::kDns, 2)}, find, {});
  REQUIRE(names(set) == Texts{"10.0.0.2:80", "10.0.0.1:80"});
  CHECK(set[0].weight == 8);
}

TEST_CASE("endpoint set: orders add, remove, drain and weigh") {
  LiveOrders orders;
  orders.added.push_back({address_of("10.0.0.9", 80), "10.0.0.9:80", 4, 1, false, "live"});
  orders.removed = {"10.0.0.1:80"};
  orders.drained = {"10.0.0.2:80"};
  orders.weights = {{"10.0.0.3:80", 6}};
  const auto set = members_of(
      {address_source("10.0.0.1"), address_source("10.0.0.2"), address_source("10.0.0.3")},
      kNothing, orders);
  REQUIRE(names(set) == Texts{"10.0.0.2:80", "10.0.0.3:80", "10.0.0.9:80"});
  CHECK(set[0].drained);
  CHECK_FALSE(set[1].drained);
  CHECK(set[1].weight == 6);
  CHECK(set[2].weight == 4);
}

TEST_CASE("endpoint set: with a ceiling") {
  std::vector<config::EndpointSource> sources;
  for (int i = 0; i < 1200; ++i) {
    sources.push_back(
        address_source("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
  }
  CHECK(members_of(sources, kNothing, {}).size() == kMostMembers);
}
