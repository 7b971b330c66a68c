// RequestHead and ResponseHead: what a message says before its body, the same for every wire
// protocol. Codecs have already taken away what belongs to one hop: framing fields (Content-Length,
// Transfer-Encoding), Connection and what it nominates, Keep-Alive, Proxy-Connection, TE, Trailer,
// Upgrade, HTTP2-Settings, Expect: 100-continue. What they meant is said by the members instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/headers.h"

namespace sluice::http {

enum class Version : uint8_t { kHttp10, kHttp11, kHttp2 };
std::string_view name_of(Version version);  // "HTTP/1.1"

// How much body follows the head.
struct BodySize {
  enum class Kind : uint8_t { kNone, kExact, kUnknown };
  Kind kind = Kind::kNone;
  uint64_t length = 0;  // kExact only

  static BodySize none() { return {}; }
  static BodySize exactly(uint64_t n) { return {Kind::kExact, n}; }
  static BodySize unknown() { return {Kind::kUnknown, 0}; }
  bool is_none() const { return kind == Kind::kNone; }
  bool is_unknown() const { return kind == Kind::kUnknown; }
};

// Who called and where: what CGI-like upstreams are told beside the head. The exchange fills it in;
// the views stay valid as long as the exchange.
struct RequestOrigin {
  std::string_view client_address;  // without port; behind a trusted proxy the real one
  uint16_t client_port = 0;
  std::string_view server_address;
  uint16_t server_port = 0;
  std::string_view server_name;  // empty: the host of the authority
};

// Views point into headers.arena() (or at static text), so they move with the head.
struct RequestHead {
  std::string_view method;     // as sent; case-sensitive
  std::string_view target;     // origin-form exactly as sent ("/a%20b?c"), or "*"; absolute-form is
                               // reduced to it and its authority wins over Host (RFC 9112 §3.2.2)
  std::string_view authority;  // the Host as sent (port included); empty only for HTTP/1.0 without
  std::string_view path;       // target's path, %-decoded once, dot segments and // resolved: for
                               // routing and files, never for forwarding
  std::string_view query;      // after '?', as sent; empty when none
  Version version = Version::kHttp11;
  bool secure = false;            // came over TLS
  bool expects_continue = false;  // the client waits for 100 before its body (never for HTTP/1.0)
  std::string_view upgrade;       // the protocol asked for by Upgrade + Connection; empty when none
  BodySize body;
  RequestOrigin origin;
  Headers headers;

  bool is(std::string_view m) const { return method == m; }
};

struct ResponseHead {
  int status = 200;
  std::string_view reason;  // in the arena, or static; codecs may replace it
  BodySize body;
  // A length that is stated but not sent: answers to HEAD, 304 (RFC 9110 §8.6).
  std::optional<uint64_t> declared_length;
  std::string_view upgrade;  // with 101 only
  Version version = Version::kHttp11;
  Headers headers;
};

// The standard phrase ("Not Found"); "Unknown" for codes we do not know.
std::string_view reason_of(int status);
// RFC 9110 §9.2: what may be repeated without asking.
bool is_idempotent(std::string_view method);
bool is_safe(std::string_view method);

}  // namespace sluice::http
