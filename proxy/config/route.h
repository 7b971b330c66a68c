// Route: which requests (host, path, method, headers) get which of the four actions: an upstream, a
// file tree, a redirect, a fixed answer. Plain values; part of Config.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/node.h"
#include "proxy/config/values.h"

namespace sluice::config {

using namespace std::chrono_literals;

// One filter in a chain: `{ headers: { … } }`. The node is for the plugin to read.
struct Filter {
  std::string name;
  Node settings;
  Place place;
  bool operator==(const Filter&) const = default;
};

struct StaticFiles {
  std::string root;  // the route's prefix is stripped (nginx's alias)
  std::vector<std::string> index = {"index.html"};
  std::vector<std::string> try_files;  // "$path", "$path.html", "$path/", "/file"; else `fallback`
  std::string fallback;       // name of an upstream that gets what no file matches; empty: 404
  std::string cache_control;  // verbatim; empty: none
  bool listing = false;
  bool precompressed = true;                 // .br .zst .gz siblings
  bool hidden = false;                       // serve dot files
  bool follow_symlinks = false;              // out of the root never; inside it always
  std::map<std::string, std::string> types;  // extension → MIME type, above the built-in table
  bool operator==(const StaticFiles&) const = default;
};

struct Redirect {
  std::string to;  // "https://$host$target"; $host $target $path $query $rest
  int status = 308;
  bool operator==(const Redirect&) const = default;
};

enum class Health : uint8_t { kNone, kLive, kReady };

struct Respond {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  Health health = Health::kNone;
  bool operator==(const Respond&) const = default;
};

struct HeaderCondition {
  std::string name;
  std::optional<std::string> value;  // absent: the header only has to be there
  bool operator==(const HeaderCondition&) const = default;
};

struct RouteTimeouts {
  Duration request = 0s;  // head in to answer out; 0: no limit
  bool operator==(const RouteTimeouts&) const = default;
};

// Of the tunnels that an Upgrade (WebSocket) makes of this route's requests.
struct Tunnel {
  Duration idle = 10min;          // neither side says anything; 0: no limit
  Duration max_age = 0s;          // less up to a tenth, by chance; 0: no limit
  uint32_t connections = 10'000;  // open at once
  bool operator==(const Tunnel&) const = default;
};

// What may be repeated after a failure that proves nothing, beside the idempotent methods.
struct RouteRetry {
  std::vector<std::string> methods;
  bool idempotency_key = false;  // a request that carries the field Idempotency-Key
  bool operator==(const RouteRetry&) const = default;
};

enum class Action : uint8_t { kUpstream, kStatic, kRedirect, kRespond };

struct Route {
  std::string name;        // label in metrics; by default its host and path
  std::string host;        // "", "example.com", "*.example.com"
  std::string path = "/";  // prefix by segments
  std::string exact;       // instead of path
  std::string regex;       // instead of path; RE2, whole path
  std::vector<std::string> methods;
  std::vector<HeaderCondition> headers;
  bool internal = false;                      // reached by X-Accel-Redirect and fallbacks only
  std::string strip_prefix;                   // of the forwarded path
  std::optional<std::string> replace_prefix;  // put in place of the matched path
  Action action = Action::kUpstream;
  std::string upstream;
  StaticFiles files;
  Redirect redirect;
  Respond respond;
  RouteTimeouts timeouts;
  RouteRetry retry;
  Tunnel tunnel;
  std::optional<Buffering> buffering;  // over the upstream's
  std::optional<Bytes> body;           // over the listener's limits.body
  std::vector<Filter> filters;
  Place place;
  bool operator==(const Route&) const = default;
};

}  // namespace sluice::config
