#include "proxy/server/task_metadata.h"

#include <doctest/doctest.h>

using sluice::server::application_containers;
using sluice::server::container_name;
using sluice::server::parse_task_metadata;

namespace {

constexpr std::string_view kTask = R"({
  "Cluster": "prod", "TaskARN": "arn:aws:ecs:eu-west-1:1:task/prod/abc", "Family": "shop",
  "Revision": "17", "ServiceName": "shop-web", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
  "AvailabilityZone": "eu-west-1b", "Limits": { "CPU": 0.25, "Memory": 512 },
  "Containers": [
    { "Name": "~internal~ecs~pause", "DesiredStatus": "RESOURCES_PROVISIONED" },
    { "Name": "sluice", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
      "Health": { "status": "HEALTHY" } },
    { "Name": "django", "DesiredStatus": "STOPPED", "KnownStatus": "RUNNING" },
    { "Name": "adot", "DesiredStatus": "RUNNING" } ] })";

}  // namespace

TEST_CASE("task metadata: what the agent says of the task is read") {
  const auto task = parse_task_metadata(kTask);
  REQUIRE(task);
  CHECK(task->family == "shop");
  CHECK(task->revision == "17");
  CHECK(task->service == "shop-web");
  CHECK(task->zone == "eu-west-1b");
  CHECK(task->desired == "RUNNING");
  CHECK(task->cpu == 0.25);
  REQUIRE(task->containers.size() == 4);
  CHECK(task->containers[1].health == "HEALTHY");
  CHECK(task->containers[2].desired == "STOPPED");
}

TEST_CASE("task metadata: what is missing or of the wrong type is empty, and no JSON is an error") {
  const auto task = parse_task_metadata(
      R"({"Family": 3, "Limits": {"CPU": "much"}, "Containers": [1, {"Name": []}, {}]})");
  REQUIRE(task);
  CHECK(task->family.empty());
  CHECK_FALSE(task->cpu);
  CHECK(task->containers.size() == 2);
  CHECK(parse_task_metadata(R"({"Limits": []})"));
  CHECK_FALSE(parse_task_metadata(R"({"Limits": {"CPU": 0}})")->cpu);
  CHECK_FALSE(parse_task_metadata("[]"));
  CHECK_FALSE(parse_task_metadata("<html>"));
  CHECK_FALSE(parse_task_metadata(""));
}

TEST_CASE("task metadata: the application is the container named, or all others but ECS's own") {
  const auto task = parse_task_metadata(kTask);
  REQUIRE(task);
  const auto others = application_containers(*task, "sluice", "");
  REQUIRE(others.size() == 2);
  CHECK(others[0]->name == "django");
  CHECK(others[1]->name == "adot");
  const auto named = application_containers(*task, "sluice", "django");
  REQUIRE(named.size() == 1);
  CHECK(named[0]->name == "django");
  CHECK(application_containers(*task, "sluice", "flask").empty());
}

TEST_CASE("task metadata: which container we are") {
  CHECK(container_name(R"({"DockerId": "x", "Name": "sluice"})") == "sluice");
  CHECK(container_name("{}").empty());
  CHECK(container_name("no").empty());
}
