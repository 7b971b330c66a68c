// Upstream: whom we call, over which protocol, and with how much patience.
// Plain values; part of Config.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/values.h"

namespace sluice::config {

using namespace std::chrono_literals;

enum class Protocol : uint8_t { kHttp1, kUwsgi };
enum class Balance : uint8_t { kRoundRobin, kLeastRequest };

struct Pool {
  Duration idle = 1s;            // below the application's keep-alive
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
  bool operator==(const Hold&) const = default;
};

struct Retry {
  uint32_t attempts = 2;         // in all, connect failures included only per endpoint
  uint32_t budget = 20;          // percent of recent requests
  bool operator==(const Retry&) const = default;
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
  bool operator==(const Upstream&) const = default;
};

}  // namespace sluice::config
