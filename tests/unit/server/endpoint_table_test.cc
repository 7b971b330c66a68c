#include <string>

#include <doctest/doctest.h>

#include "proxy/server/commands_endpoints.h"

using namespace sluice::server;

namespace {

const std::string kStatus = R"({"upstreams": [
  {"name": "app", "endpoints": [
    {"address": "10.0.0.1:80", "state": "ready", "weight": 3, "priority": 0, "in_flight": 2,
     "seen_keep_alive_seconds": 2.5, "source": "file", "ejected": true},
    {"address": "unix:/x", "state": "holding", "weight": 1, "priority": 1, "in_flight": 0,
     "source": "live"}],
   "names": [{"name": "dns://app:80", "addresses": 0, "trouble": "there is no such name"}]},
  {"name": "api", "endpoints": []}]})";

}  // namespace

TEST_CASE("endpoint table: a line each, in columns") {
  CHECK(endpoint_table(kStatus, "") ==
        "UPSTREAM  ENDPOINT      STATE                  WEIGHT  PRIORITY  IN FLIGHT  KEEP-ALIVE  "
        "SOURCE\n"
        "app       10.0.0.1:80   ready, ejected         3       0         2          2.5         "
        "file\n"
        "app       unix:/x       holding                1       1         0          -           "
        "live\n"
        "app       dns://app:80  there is no such name\n");
}

TEST_CASE("endpoint table: of one upstream, or of none that is known") {
  CHECK(endpoint_table(kStatus, "api").find("10.0.0.1") == std::string::npos);
  CHECK_FALSE(endpoint_table(kStatus, "api").empty());
  CHECK(endpoint_table(kStatus, "nobody").empty());
}

TEST_CASE("endpoint table: the answer of another version is no disaster") {
  for (const char* json : {"", "{", "[]", "7", R"({"upstreams": 7})", R"({"upstreams": [7, {}]})",
                           R"({"upstreams": [{"name": 1, "endpoints": [1], "names": [1]}]})"}) {
    CHECK(endpoint_table(json, "").find("10.") == std::string::npos);
  }
}
