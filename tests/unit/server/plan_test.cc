#include "proxy/server/plan.h"

#include <doctest/doctest.h>

using namespace sluice;
using config::Change;
using server::needs_restart;
using server::plan_text;
using Kind = Change::Kind;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr const char* kStatus =
    R"({"listeners":[{"name":"0.0.0.0:80","connections":12},{"name":"b","connections":1},7]})";

}  // namespace

TEST_CASE("plan: nothing") {
  CHECK(plan_text({}, "") == "nothing would change\n");
}

TEST_CASE("plan: whom a change touches is said with the numbers there are") {
  const std::vector<Change> changes = {
      {Kind::kRemoved, "listeners", "0.0.0.0:80", "", "x", ""},
      {Kind::kChanged, "listeners", "b", "limits.body", "1GiB", "2GiB"},
  };
  const std::string known = plan_text(changes, kStatus);
  CHECK(has(known, "  - 0.0.0.0:80"));
  CHECK(has(known, "# 12 connections drain\n"));
  CHECK(has(known, "  ~ b limits.body: 1GiB -> 2GiB"));
  CHECK(has(known, "# 1 connection: from the next request on\n"));
  CHECK(has(known, "2 changes\n"));
  for (const char* unknown : {"", "no json", "[]", R"({"listeners":{}})"}) {
    CHECK(has(plan_text(changes, unknown), "# its connections drain\n"));
  }
}

TEST_CASE("plan: endpoints and upstreams that go let their requests end") {
  const std::string text =
      plan_text({{Kind::kRemoved, "upstreams", "django", "endpoints", "127.0.0.1:1", ""},
                 {Kind::kAdded, "upstreams", "django", "endpoints", "", "127.0.0.1:2"},
                 {Kind::kChanged, "upstreams", "django", "protocol", "http1", "uwsgi"}},
                "");
  CHECK(has(text, "  - django endpoints: 127.0.0.1:1 "));
  CHECK(has(text, "# its requests end, idle connections close\n"));
  CHECK(has(text, "  + django endpoints: 127.0.0.1:2\n"));
  CHECK(has(text, "# begins anew: no connection is carried over\n"));
  CHECK(text.find("upstreams\n") == text.rfind("upstreams\n"));  // the section is named once
}

TEST_CASE("plan: what only a restart brings is marked and counted") {
  const Change workers{Kind::kChanged, "workers", "", "", "auto", "4"};
  const Change buckets{Kind::kChanged, "metrics", "", "buckets", "[1]", "[2]"};
  const Change address{Kind::kChanged, "metrics", "", "address", "a", "b"};
  CHECK(needs_restart(workers));
  CHECK(needs_restart(buckets));
  CHECK_FALSE(needs_restart(address));
  const std::string text = plan_text({workers, buckets, address}, "");
  CHECK(has(text, "3 changes, 2 of them need a restart\n"));
  CHECK(has(text, "# the new one is opened first\n"));
}

TEST_CASE("plan: a long value is cut") {
  const std::string text =
      plan_text({{Kind::kChanged, "routes", "r", "respond.body", std::string(5000, 'x'), "y"}}, "");
  CHECK(text.size() < 400);
}
