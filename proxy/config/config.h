// Config: the whole configuration as plain values, defaults included. What is written here is what
// conf/reference.yaml documents and a test compares. Built by config::load, const afterwards, shared by
// all threads as part of the Snapshot. Knows nothing of sockets, routes or filters at work.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/node.h"

namespace sluice::config {

using namespace std::chrono_literals;

// Where a value was written, for messages that come later than the check.
struct Place {
  std::string file;
  int line = 0;
};

// A prefix of IPv4 or IPv6 addresses ("10.0.0.0/8"); an IPv4 one is kept mapped (::ffff:10.0.0.0/104).
struct Network {
  std::array<uint8_t, 16> address{};
  uint8_t bits = 128;
  bool contains(const std::array<uint8_t, 16>& mapped) const;
};

// "0.0.0.0:8080", "[::]:8080", "unix:/run/x.sock"; port 0 lets the kernel choose (tests).
struct Address {
  std::string text;              // as written
  bool is_unix = false;
  std::string host_or_path;
  uint16_t port = 0;
};

struct ListenerLimits {
  Bytes line = 16_KiB;
  Bytes headers = 64_KiB;
  uint32_t header_count = 200;
  Bytes body = 1_GiB;
  uint32_t connections = 10000;
  uint64_t requests = 0;         // per connection; 0: no limit
  Bytes body_rate = 0_B;         // per second, averaged from the 10th second; 0: no limit
};

struct ListenerTimeouts {
  Duration first_byte = 60s;     // connected and silent
  Duration header = 10s;
  Duration body = 30s;           // between two reads
  Duration idle = 75s;           // above the ALB's 60 s
  Duration send = 30s;           // between two writes
};

enum class ProxyProtocol : uint8_t { kOff, kOptional, kRequired };

struct Listener {
  Address address;
  std::vector<Network> trusted_proxies;
  ProxyProtocol proxy_protocol = ProxyProtocol::kOff;
  ListenerLimits limits;
  ListenerTimeouts timeouts;
  uint32_t backlog = 4096;
  Place place;
};

// One filter in a chain: `{ headers: { … } }`. The node is for the plugin to read.
struct Filter {
  std::string name;
  Node settings;
  Place place;
};

struct Buffering {
  bool request = true;
  bool response = true;
  Bytes memory = 64_KiB;         // of each body, before the disk
  Bytes disk = 1_GiB;            // of each body
};

struct StaticFiles {
  std::string root;              // the route's prefix is stripped (nginx's alias)
  std::vector<std::string> index = {"index.html"};
  std::vector<std::string> try_files;  // "$path", "$path/", "/fallback.html"; else the fallback route
  std::string fallback;          // name of an upstream that gets what no file matches; empty: 404
  std::string cache_control;     // verbatim; empty: none
  bool listing = false;
  bool precompressed = true;     // .br .zst .gz siblings
  bool hidden = false;           // serve dot files
  bool follow_symlinks = false;  // out of the root never; inside it always
  std::map<std::string, std::string> types;  // extension → MIME type, above the built-in table
};

struct Redirect {
  std::string to;                // "https://$host$target", "/new$rest"; $host $target $path $query $rest
  int status = 308;
};

enum class Health : uint8_t { kNone, kLive, kReady };

struct Respond {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  Health health = Health::kNone;
};

struct HeaderCondition {
  std::string name;
  std::optional<std::string> value;  // absent: the header only has to be there
};

struct RouteTimeouts {
  Duration request = 0s;         // head in to answer out; 0: no limit
};

enum class Action : uint8_t { kUpstream, kStatic, kRedirect, kRespond };

struct Route {
  std::string name;              // label in metrics; by default its host and path
  std::string host;              // "", "example.com", "*.example.com"
  std::string path = "/";        // prefix by segments
  std::string exact;             // instead of path
  std::string regex;             // instead of path; RE2, whole path
  std::vector<std::string> methods;
  std::vector<HeaderCondition> headers;
  bool internal = false;         // reached by X-Accel-Redirect and fallbacks only
  std::string strip_prefix;      // of the forwarded path
  std::optional<std::string> replace_prefix;  // put in place of the matched path
  Action action = Action::kUpstream;
  std::string upstream;
  StaticFiles files;
  Redirect redirect;
  Respond respond;
  RouteTimeouts timeouts;
  std::optional<Buffering> buffering;  // over the upstream's
  std::optional<Bytes> body;     // over the listener's limits.body
  std::vector<Filter> filters;
  Place place;
};

enum class Protocol : uint8_t { kHttp1, kUwsgi };
enum class Balance : uint8_t { kRoundRobin, kLeastRequest };

struct Pool {
  Duration idle = 1s;            // below the application's keep-alive
  uint32_t spare = 64;           // idle connections kept per endpoint and worker
  uint64_t requests = 0;         // per connection; 0: no limit
};

struct UpstreamTimeouts {
  Duration connect = 5s;
  Duration send = 60s;
  Duration first_byte = 60s;
  Duration between_bytes = 60s;
};

struct Hold {
  Duration timeout = 20s;        // in the queue, for a place or an endpoint
  uint32_t requests = 1000;
  Bytes bytes = 64_MiB;
};

struct Retry {
  uint32_t attempts = 2;         // in all, connect failures included only per endpoint
  uint32_t budget = 20;          // percent of recent requests
};

struct Upstream {
  std::string name;
  Protocol protocol = Protocol::kHttp1;
  std::vector<Address> endpoints;
  Balance balance = Balance::kRoundRobin;
  Pool pool;
  Buffering buffering;
  UpstreamTimeouts timeouts;
  uint32_t max_in_flight = 0;    // per endpoint; 0: no limit
  Hold hold;
  Retry retry;
  Place place;
};

struct Admin {
  std::string socket = "/run/sluice/admin.sock";  // "": none
};

struct Metrics {
  std::optional<Address> address;  // 0.0.0.0:9901 by default; `off`: none
  std::vector<double> buckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
};

struct Drain {
  Duration min = 5s;
  Duration quiet = 3s;
  Duration max = 20s;
  Duration deadline = 28s;
};

enum class LogFormat : uint8_t { kJson, kCombined, kOff };

struct AccessLog {
  LogFormat format = LogFormat::kJson;
  std::string path = "/dev/stdout";
  Bytes buffer = 1_MiB;          // waiting for the disk; beyond it lines are lost and counted
};

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct Log {
  LogLevel level = LogLevel::kInfo;
  std::string path = "/dev/stderr";
};

// Ceilings of the whole process.
struct Limits {
  uint32_t connections = 0;      // 0: what the descriptors allow
  Bytes spill = 4_GiB;           // all spill files together
  Bytes memory = 0_B;            // all buffers together; 0: half of what the container has
};

struct Config {
  uint32_t workers = 0;          // 0: auto
  std::string spill_folder = "/tmp";
  Admin admin;
  Metrics metrics;
  Drain drain;
  AccessLog access_log;
  Log log;
  Limits limits;
  std::vector<Listener> listeners;
  std::vector<Route> routes;
  std::vector<Upstream> upstreams;
  std::string hash;              // of the text as read, includes and variables expanded
};

}  // namespace sluice::config
