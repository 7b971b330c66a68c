#include "proxy/server/status_table.h"

#include <string>

#include <doctest/doctest.h>

using sluice::server::status_table;

TEST_CASE("status_table: what a running sluice says, for a person") {
  const std::string table = status_table(R"({
    "version": "0.1.0", "pid": 7, "uptime_seconds": 61, "workers": 2, "state": "serving",
    "ready": true, "config": {"file": "/etc/sluice.yaml", "generation": 3, "hash": "abcd"},
    "requests": 1000, "in_flight": 4, "held": 1, "connections": 9,
    "listeners": [{"address": "0.0.0.0:8080", "connections": 9}],
    "upstreams": [{"name": "django", "protocol": "uwsgi",
                   "endpoints": [{"address": "127.0.0.1:8000"}, {"address": "unix:/x"}]}]})");
  CHECK(table ==
        "sluice        0.1.0, pid 7, up 61 s, 2 workers\n"
        "state         serving, ready\n"
        "config        /etc/sluice.yaml (generation 3, abcd)\n"
        "requests      1000 served, 4 in flight, 1 held\n"
        "connections   9\n"
        "listener      0.0.0.0:8080, 9 connections\n"
        "upstream      django (uwsgi) 127.0.0.1:8000 unix:/x\n");
}

TEST_CASE("status_table: what is no status is shown as it came") {
  for (const char* text : {"", "no such order\n", "[1]", "7", "{\"cut\": "}) {
    CHECK(status_table(text) == text);
  }
}

TEST_CASE("status_table: a status of another version lacks words, and is still a table") {
  for (const char* text :
       {"{}", R"({"config": null, "listeners": {}, "upstreams": 7})",
        R"({"version": 7, "ready": "yes", "state": [], "config": [1], "listeners": [1, null],
            "upstreams": [{"name": 1, "endpoints": "none"}, "x"]})"}) {
    CAPTURE(text);
    const std::string table = status_table(text);
    CHECK(table.starts_with("sluice        "));
    CHECK(table.find("state         ") != std::string::npos);
  }
}
