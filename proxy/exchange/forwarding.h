// Forwarding: what the two heads say about the hops a message took. Called once per request, before
// it is routed, so that routes and filters see what the application will; and once per answer. Pure
// functions on heads (and a per-thread generator of request ids); any thread; on the hot path.
//
//   field                   from a trusted proxy               from anybody else
//   X-Forwarded-For         continued with its address         made: the client's address
//   X-Forwarded-Proto       kept when one "http" or "https"    made: this connection's scheme
//   X-Forwarded-Host        kept when one valid authority      made: the Host
//   X-Forwarded-Port        kept when one port                 made: the listener's port
//   Forwarded (RFC 7239)    continued when there is one        removed
//   X-Request-Id            kept when 1..128 visible chars     made: 128 random bits in hex
//   X-Real-IP               made: the believed client          made: the client's address
//   X-Client-Cert-*         made: of the certificate this connection has shown; without one
//                           kept                               removed
//   other X-Forwarded-*, X-Scheme, X-Url-Scheme, Front-End-Https: kept | removed
//
// From everybody: Via is continued (RFC 9110 §7.6.3), Max-Forwards counted down (§7.6.2); Proxy
// (CVE-2016-5385), X-Accel-* and names with '_' (which CGI-like variables confuse with '-') are
// removed; Host, traceparent, tracestate, X-Amzn-Trace-Id and all else pass. Answers lose X-Accel-*
// and nothing more.
//
// Forwarded is never believed, only continued: an ALB passes on what a client wrote there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "proxy/config/values.h"
#include "proxy/http/message.h"
#include "proxy/net/certificate_facts.h"

namespace sluice::exchange {

// The connection a request came by. Views outlive the exchange (the session owns the texts).
struct Hop {
  std::string_view address;  // the other end as text, without port; empty: a unix socket
  uint16_t local_port = 0;   // of the listener as its clients see it; 0: a unix socket
  bool secure = false;       // came over TLS
  bool trusted = false;      // the other end is one of `trusted_proxies`
  std::span<const config::Network> trusted_proxies;
  const net::CertificateFacts* certificate = nullptr;  // that the other end has shown
};

struct Forwarded {
  std::string_view client;  // believed address, without port; in the head's arena or hop.address
  std::string_view request_id;  // in the head's arena
  bool secure = false;          // the believed scheme is https (what X-Forwarded-Proto now says)
  bool is_last = false;  // OPTIONS or TRACE with Max-Forwards: 0: answer it here, never forward
  uint32_t dropped = 0;  // fields removed as unsafe: Proxy, names with '_', X-Accel-*, spoofed ones
};

// Rewrites head.headers as in the table.
Forwarded rewrite_request(const Hop& hop, http::RequestHead& head);

// The address a chain of trusted proxies lets us believe: from the right of X-Forwarded-For past
// the trusted ones (at most kMostHops) to the first that is not; what cannot be read ends the walk
// at the address before it. `hop.address` when the hop is not trusted. The text is a view into
// `forwarded_for`.
inline constexpr int kMostHops = 64;
std::string_view believed_client(const Hop& hop, std::string_view forwarded_for);

// The orders an application gives its proxy; the views stay valid as long as the head.
struct AccelOrders {
  std::string_view redirect;      // X-Accel-Redirect; empty: none
  std::optional<bool> buffering;  // X-Accel-Buffering: yes | no
};

// Takes the X-Accel-* fields out of the answer and says what they asked.
AccelOrders take_accel_orders(http::ResponseHead& head);

}  // namespace sluice::exchange
