#include "plugins/ip_access/ip_access.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/plugins/bench.h"

using namespace sluice;
using namespace sluice::plugins;
using filter::Verdict;

namespace {

bool lets_in(const std::string& yaml, const std::string& client) {
  Bench bench(make_ip_access, yaml);
  REQUIRE(bench.wrong() == "");
  bench.host.client = client;
  const bool in = bench.on_request() == Verdict::kContinue;
  CHECK(bench.host.answers == (in ? 0 : 1));
  CHECK(bench.host.answered_head.status == (in ? 200 : 403));
  return in;
}

std::string faults_of(const std::string& yaml) {
  return Bench(make_ip_access, yaml).wrong();
}

}  // namespace

TEST_CASE("ip_access: with only allow, nobody else comes in") {
  const auto* yaml = "{ allow: [10.0.0.0/8, \"2001:db8::/32\"] }";
  CHECK(lets_in(yaml, "10.255.0.1"));
  CHECK(lets_in(yaml, "::ffff:10.255.0.1"));
  CHECK(lets_in(yaml, "2001:db8:1::1"));
  CHECK_FALSE(lets_in(yaml, "11.0.0.1"));
  CHECK_FALSE(lets_in(yaml, "2001:db9::1"));
  CHECK_FALSE(lets_in(yaml, ""));
  CHECK_FALSE(lets_in(yaml, "unknown"));
}

TEST_CASE("ip_access: with only deny, everybody else comes in") {
  const auto* yaml = "{ deny: 203.0.113.7 }";
  CHECK_FALSE(lets_in(yaml, "203.0.113.7"));
  CHECK(lets_in(yaml, "203.0.113.8"));
  CHECK(lets_in(yaml, ""));
}

TEST_CASE("ip_access: in the short form denials come first") {
  const auto* yaml = "{ allow: [10.0.0.0/8], deny: [10.9.0.0/16] }";
  CHECK(lets_in(yaml, "10.8.0.1"));
  CHECK_FALSE(lets_in(yaml, "10.9.0.1"));
  CHECK_FALSE(lets_in(yaml, "192.0.2.1"));
}

TEST_CASE("ip_access: rules are asked in order") {
  const auto* yaml =
      "{ rules: [ { allow: 10.9.9.9 }, { deny: 10.9.0.0/16 }, { allow: 10.0.0.0/8 } ] }";
  CHECK(lets_in(yaml, "10.9.9.9"));
  CHECK_FALSE(lets_in(yaml, "10.9.9.8"));
  CHECK(lets_in(yaml, "10.1.1.1"));
  CHECK_FALSE(lets_in(yaml, "192.0.2.1"));
  const auto* all = "{ rules: [ { deny: 10.0.0.1 }, { allow: all } ] }";
  CHECK(lets_in(all, "192.0.2.1"));
  CHECK(lets_in(all, ""));
  CHECK_FALSE(lets_in(all, "10.0.0.1"));
  CHECK_FALSE(lets_in("{ rules: [ { deny: all }, { allow: all } ] }", "10.0.0.1"));
}

TEST_CASE("ip_access: settings that cannot be are refused, all at once") {
  CHECK(faults_of("{}").find("says nobody") != std::string::npos);
  CHECK(faults_of("{ allow: [] }").find("says nobody") != std::string::npos);
  const auto text = faults_of("{ allow: [10.0.0.0/33, x, [1]], denny: all }");
  CHECK(text.find("10.0.0.0/33") != std::string::npos);
  CHECK(text.find("\"x\"") != std::string::npos);
  CHECK(text.find("write a network") != std::string::npos);
  CHECK(text.find("deny") != std::string::npos);
  CHECK(faults_of("{ rules: [ { allow: 10.0.0.1, deny: all } ] }") != "");
  CHECK(faults_of("{ rules: [ { permit: all } ] }") != "");
  CHECK(faults_of("{ rules: all }") != "");
  CHECK(faults_of("{ rules: [ { deny: all } ], allow: all }") != "");
  CHECK(faults_of("[1]") != "");
}
