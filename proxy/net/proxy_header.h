// ProxyHeader: the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): what a proxy in
// front says of its client before the connection's first byte. Reading it and writing it; pure
// functions, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/config/upstream.h"
#include "proxy/net/address.h"

namespace sluice::net {

// Both may come by a connection of their own, so a header has a ceiling: version 1's is the
// protocol's (§2.1), version 2's is ours: addresses, and TLVs as long as anybody's are.
inline constexpr size_t kMostProxyLine = 107;
inline constexpr size_t kMostProxyBlock = 4096;  // behind the first 16 bytes
inline constexpr size_t kMostProxyHeader = 16 + kMostProxyBlock;
inline constexpr size_t kMostProxyWord = 128;  // of a TLV that is kept

struct ProxyHeader {
  enum class Origin : uint8_t {
    kNone,     // there was no header, or it speaks of the socket itself: LOCAL, UNKNOWN, UNSPEC
    kAddress,  // source and destination are the client's connection to the proxy
    kUnix,     // the client came by a unix socket: it has no address
  };
  Origin origin = Origin::kNone;
  IpPort source;
  IpPort destination;
  // TLVs (§2.2) for the log, at most kMostProxyWord each; what is no text is written in hex.
  std::string vpc_endpoint;  // 0xEA 0x01: AWS PrivateLink, "vpce-0123..."
  std::string unique_id;     // 0x05
  std::string authority;     // 0x02: the name the client asked for (SNI)
  std::string alpn;          // 0x01
  std::string tls;           // 0x20, 0x21: "TLSv1.3"
  bool secure = false;       // 0x20: the client speaks TLS to the proxy
};

// A client whose address came by a header.
struct ProxiedClient {
  IpPort hop;  // the socket's other end: who sent the header
  ProxyHeader header;
  std::string destination;  // header.destination without port, as text; empty: it has none
  std::string wire;         // the header as it came, for a process that takes the connection over
};

enum class ProxyFault : uint8_t {
  kMissing,     // the first bytes are something else
  kMalformed,   // a header by its first bytes, and then not; or its checksum is wrong
  kTooLong,     // over the ceilings above
  kIncomplete,  // it ended before its end
};

struct ProxyVerdict {
  enum class State : uint8_t { kMore, kWhole, kFault };
  State state = State::kMore;
  size_t size = 0;                          // kWhole: of the header; what follows is the client's
  ProxyFault fault = ProxyFault::kMissing;  // kFault
};

// Asked again with more bytes from the start while it says kMore, which it never does of
// kMostProxyHeader bytes. `into` is touched only when it says kWhole.
ProxyVerdict parse_proxy_header(std::string_view bytes, ProxyHeader& into);

// What we send. Two families become one: IPv4 as mapped IPv6, as HAProxy does. A source that has no
// address is UNKNOWN or UNSPEC; a destination that has none is the family's unspecified address.
// Requires: version is not kOff.
std::string write_proxy_header(config::ProxyVersion version, const IpPort& source,
                               const IpPort& destination);
// For connections of our own: version 2's LOCAL. Version 1 has no word for it that everybody takes
// (gunicorn refuses UNKNOWN), so it says where we come from.
std::string write_own_proxy_header(config::ProxyVersion version, const IpPort& source,
                                   const IpPort& destination);

// Strictly one IPv4 or IPv6 address; nothing when it is something else.
std::optional<IpPort> ip_port_of(std::string_view ip, uint16_t port);

}  // namespace sluice::net
