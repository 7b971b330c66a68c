// Record: what is remembered of one exchange: one access log line and a few counters. Filled by the
// exchange as it goes, handed to the worker's observer at its end. Views borrow from the exchange
// and are only valid during that call. One thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/base/clock.h"

namespace sluice::observe {

// What a PROXY header said beside the address; empty where it said nothing.
struct ProxyWords {
  std::string_view vpc_endpoint;
  std::string_view unique_id;
  std::string_view authority;
  std::string_view alpn;
  std::string_view tls;
};

struct Record {
  // Who and what
  std::string_view client;  // believed address
  std::string_view peer;    // the socket's address when different, else empty
  std::string_view method;
  std::string_view host;
  std::string_view target;    // as sent
  std::string_view protocol;  // "HTTP/1.1"
  std::string_view scheme;
  std::string_view request_id;
  std::string_view trace_id;  // X-Amzn-Trace-Id, as sent
  std::string_view referer;
  std::string_view user_agent;
  const ProxyWords* proxied = nullptr;  // null: the client's address came by no PROXY header
  // Of the certificate the client has shown; empty: none
  std::string_view certificate_subject;
  std::string_view certificate_names;
  std::string_view certificate_fingerprint;
  // How it went
  int status = 0;             // sent to the client; 499: the client left before an answer
  std::string_view reason;    // why sluice answered itself or broke off; empty: all well
  std::string_view route;     // name of the route; empty: none matched
  std::string_view upstream;  // name; empty: none
  std::string_view endpoint;  // of the last attempt
  int upstream_status = 0;
  uint32_t attempts = 0;
  std::string_view tunnel;   // how it ended; empty: there was none
  std::string_view retried;  // by which proofs: "not_received,ambiguous"; empty: not at all
  uint64_t bytes_in = 0;     // body
  uint64_t bytes_out = 0;    // body
  // When; durations are negative when it never came to that
  WallTime started{};
  Duration total{0};
  Duration queued{-1};  // waiting for a place
  Duration connect{-1};
  Duration first_byte{-1};  // attempt begun to the answer's head
  Duration upstream_total{-1};
};

}  // namespace sluice::observe
