// SocketAddress: where a socket listens or connects to: IPv4, IPv6 or a unix path, ready for the
// kernel. A value; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

#include "proxy/base/result.h"
#include "proxy/config/config.h"

namespace sluice::net {

// The text of an IP address, in place: no allocation.
struct IpText {
  std::array<char, 46> text;
  uint8_t size = 0;
  std::string_view view() const { return {text.data(), size}; }
};

// An IP address as 16 bytes (IPv4 mapped, RFC 4291 §2.5.5.2) and a port: small enough to keep per
// idle connection. A unix peer is all zero.
struct IpPort {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;
  bool is_v4() const;
  // "203.0.113.7", "2001:db8::1"; empty for a unix peer.
  IpText ip_text() const;
};

class SocketAddress {
 public:
  static Result<SocketAddress> from(const config::Address& address);
  static SocketAddress of_local(int descriptor);
  static SocketAddress of_kernel(const sockaddr_storage& storage, socklen_t size);

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }
  bool is_unix() const { return family() == AF_UNIX; }
  IpPort ip_port() const;
  std::string text() const;  // "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock"

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

}  // namespace sluice::net
