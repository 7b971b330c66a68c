// Config: the whole configuration as plain values, defaults included. What is written here and in
// listener.h, route.h and upstream.h is what conf/reference.yaml documents and a test compares.
// Built by load.h, const afterwards, shared by all threads as part of the Snapshot. Knows nothing
// of sockets, routes or filters at work.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/listener.h"
#include "proxy/config/node.h"
#include "proxy/config/route.h"
#include "proxy/config/upstream.h"
#include "proxy/config/values.h"

namespace sluice::config {

using namespace std::chrono_literals;

struct Admin {
  std::string socket = "/run/sluice/admin.sock";  // "": none
  bool operator==(const Admin&) const = default;
};

struct Metrics {
  std::optional<Address> address = Address{"0.0.0.0:9901", false, "0.0.0.0", 9901};  // off: none
  std::vector<double> buckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                 0.5,   1,      2.5,   5,    10,    30,   60};  // seconds
  bool operator==(const Metrics&) const = default;
};

struct Drain {
  Duration min = 5s;
  Duration quiet = 3s;
  Duration max = 20s;
  Duration deadline = 28s;
  Duration tunnels = 5s;  // over which they are ended, from the end of accepting on
  bool operator==(const Drain&) const = default;
};

enum class LogFormat : uint8_t { kJson, kCombined, kOff };

struct AccessLog {
  LogFormat format = LogFormat::kJson;
  std::string path = "/dev/stdout";
  Bytes buffer = 1_MiB;  // waiting for the disk; beyond it lines are lost and counted
  bool operator==(const AccessLog&) const = default;
};

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct Log {
  LogLevel level = LogLevel::kInfo;
  std::string path = "/dev/stderr";
  bool operator==(const Log&) const = default;
};

// Ceilings of the whole process.
struct Limits {
  uint32_t connections = 0;  // 0: what the descriptors allow
  Bytes spill = 4_GiB;       // all spill files together
  Bytes memory = 0_B;        // all buffers together; 0: half of what the container has
  uint32_t in_flight = 0;    // requests, tunnels and health answers apart; 0: no limit
  uint32_t clients = 65536;  // addresses that are remembered for limits by client
  bool operator==(const Limits&) const = default;
};

// How names of endpoints are looked up.
struct Resolver {
  std::vector<Address> servers;  // none: the system's
  Duration timeout = 2s;         // of one question
  uint32_t tries = 2;
  Duration min_ttl = 1s;   // asked again not earlier
  Duration max_ttl = 60s;  // nor later
  Duration retry = 1s;     // after a failure; what was known is used on
  bool operator==(const Resolver&) const = default;
};

// The configuration from an HTTP URL, asked for again and again (AppConfig's agent). What it says
// replaces this file's text, but for `poll` itself.
struct Poll {
  std::string url;  // "": off
  Duration interval = 45s;
  std::string authorization;  // a header field's value; never logged
  bool operator==(const Poll&) const = default;
};

struct Ecs {
  bool metadata = true;     // read, where ECS_CONTAINER_METADATA_URI_V4 is set
  Duration interval = 10s;  // between two looks at DesiredStatus
  std::string application;  // name of its container; "": every other one
  bool operator==(const Ecs&) const = default;
};

struct Config {
  uint32_t workers = 0;  // 0: auto
  std::string spill_folder = "/tmp";
  Admin admin;
  Metrics metrics;
  Drain drain;
  AccessLog access_log;
  Log log;
  Limits limits;
  Resolver resolver;
  bool watch = false;  // reload when the file changes
  Poll poll;
  Ecs ecs;
  std::vector<Listener> listeners;
  std::vector<Route> routes;
  std::vector<Upstream> upstreams;
  std::string hash;  // of the text as read, includes and variables expanded
  bool operator==(const Config&) const = default;
};

}  // namespace sluice::config
