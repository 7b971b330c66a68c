// Upstream: whom we call, over which protocol, and with how much patience.
// Plain values; part of Config.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/values.h"

namespace sluice::config {

using namespace std::chrono_literals;

enum class Protocol : uint8_t { kHttp1, kUwsgi, kFastcgi };
std::string_view name_of(Protocol protocol);  // as `protocol` names it
// Those that tell an application the request's length first, in CONTENT_LENGTH.
constexpr bool is_cgi(Protocol protocol) {
  return protocol == Protocol::kUwsgi || protocol == Protocol::kFastcgi;
}
// The header of the PROXY protocol that each connection begins with.
enum class ProxyVersion : uint8_t { kOff, kV1, kV2 };
enum class Balance : uint8_t { kRoundRobin, kLeastRequest, kRandom, kPeakEwma, kRingHash };

// One of the addresses of an upstream, or a name that stands for several.
struct EndpointSource {
  enum class Kind : uint8_t { kAddress, kDns, kSrv };
  Kind kind = Kind::kAddress;
  Address address;               // kAddress
  std::string name;              // kDns, kSrv: what is looked up
  uint16_t port = 0;             // kDns
  uint32_t weight = 1;           // a share beside the others'; not of kSrv: its records bring them
  uint32_t priority = 0;         // the lowest number is asked first; `backup: true` is 1
  bool operator==(const EndpointSource&) const = default;
};

// What ring_hash keeps together.
struct HashKey {
  enum class Kind : uint8_t { kAddress, kHeader, kCookie };
  Kind kind = Kind::kAddress;    // the believed client's
  std::string name;              // of the header or cookie
  bool operator==(const HashKey&) const = default;
};

struct Sticky {
  std::string cookie;            // "": off
  Duration age = 0s;             // of the cookie; 0: as long as the browser runs
  bool operator==(const Sticky&) const = default;
};

// Active checks: only when asked for.
struct HealthCheck {
  enum class Kind : uint8_t { kOff, kRequest, kTcp };
  Kind kind = Kind::kOff;        // kRequest: in the upstream's protocol; with `path` by itself
  std::string path;              // target of the request
  std::string method = "GET";
  std::string host = "localhost";
  std::vector<std::pair<int, int>> status = {{200, 399}};  // from, to: what is well
  std::string body;              // must occur in the first 64 KiB of the answer's; "": anything
  Duration interval = 5s;
  Duration fast_interval = 500ms;  // while starting, suspect or holding
  Duration timeout = 2s;
  uint32_t rise = 1;
  uint32_t fall = 3;
  uint32_t jitter = 20;          // percent of the interval
  bool up_at_first = true;       // false: no request before the first check was well
  bool operator==(const HealthCheck&) const = default;
};

// Passive: what the requests themselves say. Never the last endpoint.
struct Ejection {
  uint32_t errors = 5;           // in a row: no answer, or 502, 503, 504; 0: off
  uint32_t rate = 0;             // percent of failures in an interval; 0: off
  Duration latency = 0s;         // mean time to the first byte in an interval; 0: off
  uint32_t requests = 50;        // in an interval, before rate and latency say anything
  Duration interval = 10s;
  Duration time = 10s;           // out for so long, times the number of ejections in a row
  Duration max_time = 5min;
  uint32_t most = 50;            // percent of the endpoints that may be out
  bool operator==(const Ejection&) const = default;
};

// How FastCGI names a script, and what else it is told. Without a root there are no scripts: the
// application gets the whole path as PATH_INFO.
struct Fastcgi {
  std::string root;              // where the application has its files
  std::string index = "index.php";  // of root, for paths that name no script; "": the path does
  std::string split = ".php";    // ends a script's name, the rest is PATH_INFO; "": there is none
  std::map<std::string, std::string, std::less<>> params;
  bool keep = false;             // FCGI_KEEP_CONN: php-fpm gives each connection a process
  Bytes remarks = 4_KiB;         // of the STDERR of each answer, into the process log; 0: nothing
  bool operator==(const Fastcgi&) const = default;
};

struct Pool {
  Duration idle = 1s;            // below the application's keep-alive
  bool learn = true;             // lower `idle` when the application is seen to close before it
  Duration unsafe_idle = 100ms;  // a POST gets a connection used since, or a fresh one
  uint32_t spare = 64;           // idle connections kept per endpoint and worker
  uint64_t requests = 0;         // per connection; 0: no limit
  bool operator==(const Pool&) const = default;
};

struct UpstreamTimeouts {
  Duration connect = 5s;
  Duration send = 60s;
  Duration first_byte = 60s;
  Duration between_bytes = 60s;
  bool operator==(const UpstreamTimeouts&) const = default;
};

struct Hold {
  Duration timeout = 20s;        // in the queue, for a place or an endpoint
  uint32_t requests = 1000;
  Bytes bytes = 64_MiB;
  Duration unhealthy_after = 10s;  // readiness says 503; 0: this upstream never makes it
  uint32_t ramp = 8;             // in flight per worker and endpoint when it is back; 0: no ramp
  bool operator==(const Hold&) const = default;
};

struct Retry {
  uint32_t attempts = 2;         // in all, connect failures included only per endpoint
  uint32_t budget = 20;          // percent of recent requests
  Duration backoff = 25ms;       // before the second try; doubles, with jitter
  Duration max_backoff = 1s;
  Duration per_try = 0s;         // to the first byte; 0: timeouts.first_byte alone
  bool operator==(const Retry&) const = default;
};

struct Upstream {
  std::string name;
  Protocol protocol = Protocol::kHttp1;
  Fastcgi fastcgi;               // of protocol: fastcgi
  ProxyVersion proxy_protocol = ProxyVersion::kOff;  // a connection for each request, then
  std::vector<EndpointSource> endpoints;
  Balance balance = Balance::kRoundRobin;
  HashKey hash;                  // of ring_hash
  Sticky sticky;
  uint32_t panic = 50;           // percent usable; with fewer, ejected ones are used as well
  Duration slow_start = 0s;      // until an endpoint that is back has its full share
  HealthCheck health;
  Ejection ejection;
  Pool pool;
  Buffering buffering;
  UpstreamTimeouts timeouts;
  uint32_t max_in_flight = 0;    // per endpoint; 0: no limit
  Hold hold;
  Retry retry;
  Place place;
  bool operator==(const Upstream&) const = default;
};

}  // namespace sluice::config
