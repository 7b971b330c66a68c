#include "proxy/config/address.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "proxy/base/text.h"

namespace sluice::config {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

tl::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(detail));
}

bool is_mapped(const std::array<uint8_t, 16>& ip) {
  return std::equal(kMapped.begin(), kMapped.end(), ip.begin());
}

std::string format_ip(const std::array<uint8_t, 16>& ip, bool as_ipv4) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(as_ipv4 ? AF_INET : AF_INET6, ip.data() + (as_ipv4 ? kMapped.size() : 0), text,
            sizeof text);
  return text;
}

bool looks_like_a_name(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '.' ||
           c == '-' || c == '_';
  });
}

Result<Address> parse_unix(std::string_view text) {
  const auto path = text.substr(std::string_view("unix:").size());
  if (path.empty() || path.front() != '/') {
    return wrong(fmt::format("\"{}\": the path must be absolute, as in unix:/run/app.sock", text));
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return wrong(fmt::format("the path has {} bytes, the system allows {}", path.size(),
                             sizeof(sockaddr_un::sun_path) - 1));
  }
  Address address;
  address.text = text;
  address.is_unix = true;
  address.host_or_path = path;
  return address;
}

// The forms people bring from elsewhere, each with the form to use here.
std::optional<std::string> refuse_foreign(std::string_view text, AddressUse use) {
  if (text.empty()) return "is empty; write 127.0.0.1:8080 or unix:/run/x.sock";
  if (text.substr(0, 6) == "dns://" || text.substr(0, 6) == "srv://") {
    return fmt::format("\"{}\": nothing is looked up here; write an IP address", text);
  }
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    return fmt::format("\"{}\": no scheme here; write {}{}", text, text.substr(scheme + 3),
                       use == AddressUse::kConnect ? " (`protocol` has its own key)" : "");
  }
  if (text.front() == '/') return fmt::format("\"{0}\": for a unix socket write unix:{0}", text);
  if (parse_decimal(text) && use == AddressUse::kListen) {
    return fmt::format("\"{0}\" is only a port; write :{0} or 127.0.0.1:{0}", text);
  }
  return std::nullopt;
}

// [host]:port or host:port into its parts.
struct HostPort {
  std::string_view host;
  std::optional<std::string_view> port;
  bool bracketed = false;
};

HostPort split_host(std::string_view text) {
  if (text.front() == '[') {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return {text, std::nullopt};
    const auto rest = text.substr(end + 1);
    if (rest.empty() || rest.front() != ':') return {text.substr(1, end - 1), std::nullopt, true};
    return {text.substr(1, end - 1), rest.substr(1), true};
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return {text, std::nullopt};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

Result<std::string> resolve_host(const HostPort& parts, std::string_view text, AddressUse use) {
  if (parts.bracketed) {
    const auto ip = parse_ip(parts.host);
    if (!ip || parts.host.find(':') == std::string_view::npos) {
      return wrong(fmt::format("\"{}\" is no IPv6 address in brackets, as in [::1]:8080", text));
    }
    return format_ip(*ip, false);
  }
  if (parts.host.find(':') != std::string_view::npos) {
    return wrong(fmt::format("\"{}\": an IPv6 address needs brackets, as in [::1]:8080", text));
  }
  if (parts.host.empty() && use == AddressUse::kListen) return "0.0.0.0";
  if (parts.host.empty()) {
    return wrong(fmt::format("\"{0}\" names no host; write 127.0.0.1{0}", text));
  }
  if (iequals(parts.host, "localhost")) return "127.0.0.1";
  if (const auto ip = parse_ip(parts.host)) return format_ip(*ip, true);
  if (!looks_like_a_name(parts.host)) {
    return wrong(fmt::format("\"{}\" is no address; write 127.0.0.1:8080, [::1]:8080 or "
                             "unix:/run/x.sock", text));
  }
  if (use == AddressUse::kListen) {
    return wrong(fmt::format("\"{}\": a listener needs an IP address, not a name; write "
                             "0.0.0.0:8080 or :8080", text));
  }
  return wrong(fmt::format("\"{0}\" is a name; write dns://{0} to have it looked up", text));
}

}  // namespace

std::optional<std::array<uint8_t, 16>> parse_ip(std::string_view text) {
  char copy[INET6_ADDRSTRLEN] = {};
  if (text.empty() || text.size() >= sizeof copy) return std::nullopt;
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  std::array<uint8_t, 16> ip{};
  if (inet_pton(AF_INET6, copy, ip.data()) == 1) return ip;
  std::copy(kMapped.begin(), kMapped.end(), ip.begin());
  if (inet_pton(AF_INET, copy, ip.data() + kMapped.size()) == 1) return ip;
  return std::nullopt;
}

Result<Address> parse_address(std::string_view text, AddressUse use) {
  if (text.substr(0, 5) == "unix:") return parse_unix(text);
  if (auto foreign = refuse_foreign(text, use)) return wrong(std::move(*foreign));
  const HostPort parts = split_host(text);
  if (!parts.port) {
    return wrong(fmt::format("\"{0}\" has no port; write {0}:{1}", text,
                             use == AddressUse::kListen ? "8080" : "8000"));
  }
  auto host = resolve_host(parts, text, use);
  if (!host) return tl::unexpected(host.error());
  const auto port = parse_decimal(*parts.port);
  if (!port || *port > 65535) {
    return wrong(fmt::format("\"{}\" is no port; 1 to 65535", *parts.port));
  }
  if (*port == 0 && use == AddressUse::kConnect) return wrong("port 0 cannot be connected to");
  Address address;
  address.text = text;
  address.host_or_path = std::move(*host);
  address.port = static_cast<uint16_t>(*port);
  return address;
}

Result<Network> parse_network(std::string_view text) {
  const auto slash = text.find('/');
  const auto host = text.substr(0, slash);
  const auto ip = parse_ip(host);
  if (!ip) {
    return wrong(fmt::format("\"{}\" is no network; write 10.0.0.0/8, fd00::/8 or one address",
                             text));
  }
  const bool is_ipv4 = host.find(':') == std::string_view::npos;
  const uint8_t most = is_ipv4 ? 32 : 128;
  uint64_t bits = most;
  if (slash != std::string_view::npos) {
    const auto number = parse_decimal(text.substr(slash + 1));
    if (!number || *number > most) {
      return wrong(fmt::format("\"{}\": the prefix length is 0 to {}", text, most));
    }
    bits = *number;
  }
  Network network;
  network.bits = static_cast<uint8_t>(bits + (128 - most));
  for (size_t bit = 0; bit < network.bits; ++bit) {
    network.address[bit / 8] |= static_cast<uint8_t>((*ip)[bit / 8] & (0x80 >> (bit % 8)));
  }
  if (network.address != *ip) {
    return wrong(fmt::format("\"{}\" has bits behind its prefix; the network is {}", text,
                             format_network(network)));
  }
  return network;
}

std::string format_network(const Network& network) {
  const bool as_ipv4 = network.bits >= 96 && is_mapped(network.address);
  return fmt::format("{}/{}", format_ip(network.address, as_ipv4),
                     as_ipv4 ? network.bits - 96 : network.bits);
}

bool Network::contains(const std::array<uint8_t, 16>& mapped) const {
  const size_t whole = bits / 8;
  if (std::memcmp(address.data(), mapped.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff00 >> (bits % 8));
  return (address[whole] & mask) == (mapped[whole] & mask);
}

}  // namespace sluice::config
