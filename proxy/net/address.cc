#include "proxy/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace sluice::net {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

Result<SocketAddress> from_path(const std::string& path) {
  sockaddr_storage storage{};
  auto* un = reinterpret_cast<sockaddr_un*>(&storage);
  if (path.empty() || path.size() >= sizeof un->sun_path) {
    return fail(ErrorCode::kInvalid, Side::kUs, "unix path empty or too long: " + path);
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.c_str(), path.size() + 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return SocketAddress::of_kernel(storage, size);
}

}  // namespace

bool IpPort::is_v4() const {
  return std::memcmp(ip.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

IpText IpPort::ip_text() const {
  IpText out;
  if (is_v4()) {
    // By hand: this is asked for once per request.
    char* at = out.text.data();
    for (size_t i = 12; i < 16; ++i) {
      if (i > 12) *at++ = '.';
      at = std::to_chars(at, at + 3, ip[i]).ptr;
    }
    out.size = static_cast<uint8_t>(at - out.text.data());
  } else if (ip != std::array<uint8_t, 16>{}) {
    inet_ntop(AF_INET6, ip.data(), out.text.data(), static_cast<socklen_t>(out.text.size()));
    out.size = static_cast<uint8_t>(std::strlen(out.text.data()));
  }
  return out;
}

Result<SocketAddress> SocketAddress::from(const config::Address& address) {
  if (address.is_unix) return from_path(address.host_or_path);
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  if (inet_pton(AF_INET, address.host_or_path.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    return of_kernel(storage, sizeof *v4);
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  storage = {};
  if (inet_pton(AF_INET6, address.host_or_path.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    return of_kernel(storage, sizeof *v6);
  }
  return fail(ErrorCode::kInvalid, Side::kUs, "not an IP address: " + address.host_or_path);
}

SocketAddress SocketAddress::of_kernel(const sockaddr_storage& storage, socklen_t size) {
  SocketAddress address;
  address.storage_ = storage;
  address.size_ = size;
  return address;
}

SocketAddress SocketAddress::of_local(int descriptor) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size) != 0) size = 0;
  return of_kernel(storage, size);
}

IpPort SocketAddress::ip_port() const {
  IpPort out;
  if (family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage_);
    std::memcpy(out.ip.data(), kMappedPrefix.data(), kMappedPrefix.size());
    std::memcpy(out.ip.data() + 12, &v4->sin_addr, 4);
    out.port = ntohs(v4->sin_port);
  } else if (family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage_);
    std::memcpy(out.ip.data(), &v6->sin6_addr, 16);
    out.port = ntohs(v6->sin6_port);
  }
  return out;
}

std::string SocketAddress::text() const {
  if (is_unix()) {
    return std::string("unix:") + reinterpret_cast<const sockaddr_un*>(&storage_)->sun_path;
  }
  const IpPort it = ip_port();
  const std::string ip{it.ip_text().view()};
  return (it.is_v4() ? ip : "[" + ip + "]") + ":" + std::to_string(it.port);
}

}  // namespace sluice::net
