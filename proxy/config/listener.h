// Listener: one address clients connect to, what is believed of them and what they may cost.
// Plain values; part of Config.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/tls.h"
#include "proxy/config/values.h"

namespace sluice::config {

using namespace std::chrono_literals;

struct ListenerLimits {
  Bytes line = 16_KiB;
  Bytes headers = 64_KiB;
  uint32_t header_count = 200;
  Bytes body = 1_GiB;
  uint32_t connections = 10000;
  uint32_t handshakes = 1000;  // of TLS, at the same time
  uint64_t requests = 0;       // per connection; 0: no limit
  uint32_t streams = 128;      // of one HTTP/2 connection, at the same time; 0: it is not spoken
  Bytes body_rate = 0_B;       // per second, averaged from the 10th second; 0: no limit
  Bytes send_rate = 0_B;       // of an answer, the same
  // Of one client address (IPv6: of one /64); trusted_proxies have none.
  uint32_t client_connections = 0;  // open at once; 0: no limit
  Rate connection_rate;
  Rate request_rate;
  bool operator==(const ListenerLimits&) const = default;
};

struct ListenerTimeouts {
  Duration first_byte = 60s;  // connected and silent
  Duration handshake = 10s;   // of TLS, from the connection on
  Duration header = 10s;
  Duration body = 30s;  // between two reads
  Duration idle = 75s;  // above the ALB's 60 s
  Duration send = 30s;  // between two writes
  Duration ping = 60s;  // HTTP/2: silent while requests run; 0: never asked
  bool operator==(const ListenerTimeouts&) const = default;
};

enum class ProxyProtocol : uint8_t { kOff, kOptional, kRequired };

struct Listener {
  Address address;
  std::vector<Network> trusted_proxies;
  ProxyProtocol proxy_protocol = ProxyProtocol::kOff;
  Tls tls;
  ListenerLimits limits;
  ListenerTimeouts timeouts;
  uint32_t backlog = 4096;
  Place place;
  bool operator==(const Listener&) const = default;
};

}  // namespace sluice::config
