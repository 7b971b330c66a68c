#include "proxy/config/endpoint_text.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/address.h"

namespace sluice::config {
namespace {

constexpr std::string_view kDnsScheme = "dns://";
constexpr std::string_view kSrvScheme = "srv://";
constexpr size_t kLongestName = 253;   // RFC 1035 §2.3.4: 255 octets on the wire
constexpr size_t kLongestLabel = 63;

using Kind = EndpointSource::Kind;

tl::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(detail));
}

bool is_label(std::string_view label, bool underscores) {
  if (label.empty() || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(), [underscores](char c) {
    return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '-' ||
           (underscores && c == '_');
  });
}

// RFC 1123 §2.1. The dot at the end that keeps search domains away may be there. Underscores belong
// to the service and protocol of an SRV name (RFC 2782), not to hosts.
std::optional<std::string> refuse_name(std::string_view text, std::string_view name,
                                       bool underscores) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  if (name.size() > kLongestName) {
    return fmt::format("the name has {} characters; {} is the most", name.size(), kLongestName);
  }
  const auto labels = split(name, '.');
  for (const auto label : labels) {
    if (label.size() > kLongestLabel) {
      return fmt::format("\"{}\": \"{}\" has {} characters; between two dots {} is the most", text,
                         label, label.size(), kLongestLabel);
    }
    if (!is_label(label, underscores)) {
      return fmt::format("\"{}\": \"{}\" is no name; between dots stand letters, digits and -{}",
                         text, name, underscores ? " or _" : "");
    }
  }
  if (parse_decimal(labels.back())) {
    return fmt::format("\"{}\": \"{}\" is no name; the last part of one is not a number", text,
                       name);
  }
  return std::nullopt;
}

Result<EndpointSource> parse_dns(std::string_view text) {
  const auto rest = text.substr(kDnsScheme.size());
  if (parse_address(rest, AddressUse::kConnect)) {
    return wrong(fmt::format("\"{}\" needs no looking up; write {}", text, rest));
  }
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) {
    return wrong(fmt::format("\"{0}\" has no port; write {0}:8000", text));
  }
  const auto name = rest.substr(0, colon);
  if (auto refused = refuse_name(text, name, false)) return wrong(std::move(*refused));
  const auto port = parse_decimal(rest.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) {
    return wrong(fmt::format("\"{}\": \"{}\" is no port; 1 to 65535", text,
                             rest.substr(colon + 1)));
  }
  EndpointSource source;
  source.kind = Kind::kDns;
  source.name = to_lower(name);
  source.port = static_cast<uint16_t>(*port);
  return source;
}

Result<EndpointSource> parse_srv(std::string_view text) {
  const auto name = text.substr(kSrvScheme.size());
  if (const auto colon = name.find(':'); colon != std::string_view::npos) {
    return wrong(fmt::format("\"{}\": SRV records bring their ports; write {}", text,
                             text.substr(0, kSrvScheme.size() + colon)));
  }
  if (auto refused = refuse_name(text, name, true)) return wrong(std::move(*refused));
  EndpointSource source;
  source.kind = Kind::kSrv;
  source.name = to_lower(name);
  return source;
}

// Without the dot at its end: the same name.
std::string_view bare(std::string_view name) {
  return !name.empty() && name.back() == '.' ? name.substr(0, name.size() - 1) : name;
}

}  // namespace

Result<EndpointSource> parse_endpoint(std::string_view text) {
  if (text.substr(0, kDnsScheme.size()) == kDnsScheme) return parse_dns(text);
  if (text.substr(0, kSrvScheme.size()) == kSrvScheme) return parse_srv(text);
  auto address = parse_address(text, AddressUse::kConnect);
  if (!address) return tl::unexpected(address.error());
  EndpointSource source;
  source.address = std::move(*address);
  return source;
}

std::string format_endpoint(const EndpointSource& source) {
  switch (source.kind) {
    case Kind::kAddress: return source.address.text;
    case Kind::kDns: return fmt::format("{}{}:{}", kDnsScheme, source.name, source.port);
    case Kind::kSrv: return fmt::format("{}{}", kSrvScheme, source.name);
  }
  return {};
}

bool is_same_endpoint(const EndpointSource& a, const EndpointSource& b) {
  if (a.kind != b.kind) return false;
  if (a.kind != Kind::kAddress) return bare(a.name) == bare(b.name) && a.port == b.port;
  return a.address.is_unix == b.address.is_unix && a.address.port == b.address.port &&
         a.address.host_or_path == b.address.host_or_path;
}

}  // namespace sluice::config
