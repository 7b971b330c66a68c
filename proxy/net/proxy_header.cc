#include "proxy/net/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "proxy/base/text.h"

namespace sluice::net {
namespace {

using State = ProxyVerdict::State;

constexpr std::string_view kLineStart = "PROXY ";
constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr size_t kFixed = 16;  // signature, version and command, family, length

constexpr std::array<uint8_t, 16> kAnyV4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};

// TLV types, §2.2.
constexpr uint8_t kAlpn = 0x01;
constexpr uint8_t kAuthority = 0x02;
constexpr uint8_t kCrc32c = 0x03;
constexpr uint8_t kUniqueId = 0x05;
constexpr uint8_t kSsl = 0x20;
constexpr uint8_t kSslVersion = 0x21;
constexpr uint8_t kAws = 0xea;
constexpr uint8_t kAwsVpcEndpoint = 0x01;
constexpr uint8_t kClientSsl = 0x01;  // bit of the SSL TLV's first byte

constexpr ProxyVerdict fault(ProxyFault what) {
  return {State::kFault, 0, what};
}

uint8_t byte_at(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

uint16_t number_at(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

// Both are the beginning of the other, as far as the shorter goes.
bool begins(std::string_view bytes, std::string_view with) {
  const size_t common = std::min(bytes.size(), with.size());
  return bytes.substr(0, common) == with.substr(0, common);
}

// ---- version 1 ----

std::optional<uint16_t> port_of(std::string_view text) {
  const auto number = parse_decimal(text);
  // "a decimal integer in the range [0..65535]", and one way to write it: no zeros in front.
  if (!number || *number > 65535 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  return static_cast<uint16_t>(*number);
}

// Takes the word up to the next space, and the space; nothing when there is none.
std::string_view take_word(std::string_view& rest) {
  const size_t end = rest.find(' ');
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return word;
}

std::optional<IpPort> endpoint_of(std::string_view ip, std::string_view port, bool as_ip6) {
  const auto number = port_of(port);
  if (!number || (ip.find(':') != std::string_view::npos) != as_ip6) return std::nullopt;
  return ip_port_of(ip, *number);
}

// `line`: between "PROXY " and CRLF.
bool read_line(std::string_view line, ProxyHeader& into) {
  const bool ends_with_space = !line.empty() && line.back() == ' ';
  const std::string_view family = take_word(line);
  if (family == "UNKNOWN") return true;  // whatever follows is to be ignored
  if ((family != "TCP4" && family != "TCP6") || ends_with_space) return false;
  const std::string_view from = take_word(line);
  const std::string_view to = take_word(line);
  const std::string_view from_port = take_word(line);
  const std::string_view to_port = take_word(line);
  const auto source = endpoint_of(from, from_port, family == "TCP6");
  const auto destination = endpoint_of(to, to_port, family == "TCP6");
  if (!source || !destination || !line.empty()) return false;
  into.origin = ProxyHeader::Origin::kAddress;
  into.source = *source;
  into.destination = *destination;
  return true;
}

ProxyVerdict parse_line(std::string_view bytes, ProxyHeader& into) {
  const std::string_view most = bytes.substr(0, kMostProxyLine);
  const size_t end = most.find('\n');
  if (end == std::string_view::npos) {
    return most.size() < kMostProxyLine ? ProxyVerdict{} : fault(ProxyFault::kTooLong);
  }
  if (end <= kLineStart.size() || most[end - 1] != '\r') return fault(ProxyFault::kMalformed);
  const auto line = most.substr(kLineStart.size(), end - 1 - kLineStart.size());
  ProxyHeader header;
  if (!read_line(line, header)) return fault(ProxyFault::kMalformed);
  into = std::move(header);
  return {State::kWhole, end + 1, {}};
}

// ---- version 2 ----

// Bit by bit: a header is short, and most have no checksum.
uint32_t crc32c(uint32_t crc, std::string_view bytes) {
  constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli's, reflected (RFC 3309)
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (kPolynomial & (0U - (crc & 1)));
  }
  return crc;
}

// "calculated over the whole header with the checksum's own field taken as zero"
bool checksum_is_right(std::string_view header, std::string_view field) {
  const auto at = static_cast<size_t>(field.data() - header.data());
  constexpr std::string_view kZeros{"\0\0\0\0", 4};
  uint32_t crc = crc32c(0xffffffff, header.substr(0, at));
  crc = crc32c(crc, kZeros);
  crc = ~crc32c(crc, header.substr(at + field.size()));
  const auto high = uint32_t{number_at(field, 0)};
  return crc == (high << 16 | number_at(field, 2));
}

// Ids may be made of any bytes.
std::string word_of(std::string_view value) {
  const bool is_text = std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<uint8_t>(c) >= 0x20 && c != 0x7f;
  });
  if (is_text) return std::string(value.substr(0, kMostProxyWord));
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : value.substr(0, kMostProxyWord / 2)) {
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return hex;
}

struct Tlv {
  uint8_t type = 0;
  std::string_view value;
};

// Takes the next one; nothing when what is left is none.
std::optional<Tlv> take_tlv(std::string_view& rest) {
  if (rest.size() < 3) return std::nullopt;
  const size_t length = number_at(rest, 1);
  if (rest.size() - 3 < length) return std::nullopt;
  const Tlv tlv{byte_at(rest, 0), rest.substr(3, length)};
  rest.remove_prefix(3 + length);
  return tlv;
}

bool read_ssl(std::string_view value, ProxyHeader& into) {
  if (value.size() < 5) return false;  // what the client did, and the verdict on its certificate
  into.secure = (byte_at(value, 0) & kClientSsl) != 0;
  for (std::string_view rest = value.substr(5); !rest.empty();) {
    const auto tlv = take_tlv(rest);
    if (!tlv) return false;
    if (tlv->type == kSslVersion) into.tls = word_of(tlv->value);
  }
  return true;
}

// `header`: all of it, for the checksum.
bool read_tlvs(std::string_view header, std::string_view rest, ProxyHeader& into) {
  while (!rest.empty()) {
    const auto tlv = take_tlv(rest);
    if (!tlv) return false;
    const std::string_view value = tlv->value;
    switch (tlv->type) {
      case kAlpn: into.alpn = word_of(value); break;
      case kAuthority: into.authority = word_of(value); break;
      case kUniqueId: into.unique_id = word_of(value); break;
      case kCrc32c:
        if (value.size() != 4 || !checksum_is_right(header, value)) return false;
        break;
      case kSsl:
        if (!read_ssl(value, into)) return false;
        break;
      case kAws:
        if (value.empty() || byte_at(value, 0) != kAwsVpcEndpoint) break;
        into.vpc_endpoint = word_of(value.substr(1));
        break;
      default: break;  // NOOP and those we do not know: "must be ignored"
    }
  }
  return true;
}

IpPort ip_port_at(std::string_view ip, std::string_view port) {
  IpPort out;
  if (ip.size() == 4) out.ip = kAnyV4;
  std::memcpy(out.ip.data() + 16 - ip.size(), ip.data(), ip.size());
  out.port = number_at(port, 0);
  return out;
}

// Command and family have been seen to be ones there are.
bool read_block(std::string_view header, ProxyHeader& into) {
  const bool is_local = (byte_at(header, 12) & 15) == 0;
  const uint8_t family = byte_at(header, 13);
  // LOCAL: "the receiver must discard the protocol block, including the family". UNSPEC, and
  // datagrams that a stream cannot be: the socket's own addresses are taken.
  if (is_local || (family & 15) != 1) return true;
  const std::string_view block = header.substr(kFixed);
  const size_t ip = family == 0x11 ? 4 : family == 0x21 ? 16 : 108;
  const size_t ports = family == 0x31 ? 0 : 4;
  if (block.size() < 2 * ip + ports) return false;
  into.origin = family == 0x31 ? ProxyHeader::Origin::kUnix : ProxyHeader::Origin::kAddress;
  if (ports > 0) {
    into.source = ip_port_at(block.substr(0, ip), block.substr(2 * ip, 2));
    into.destination = ip_port_at(block.substr(ip, ip), block.substr(2 * ip + 2, 2));
  }
  return read_tlvs(header, block.substr(2 * ip + ports), into);
}

ProxyVerdict parse_block(std::string_view bytes, ProxyHeader& into) {
  constexpr std::string_view kFamilies{"\x00\x11\x12\x21\x22\x31\x32", 7};
  if (bytes.size() > 12 && byte_at(bytes, 12) != 0x20 && byte_at(bytes, 12) != 0x21) {
    return fault(ProxyFault::kMalformed);
  }
  if (bytes.size() < kFixed) return {};
  // The family of LOCAL is to be ignored, whatever it is.
  const bool is_local = byte_at(bytes, 12) == 0x20;
  if (!is_local && kFamilies.find(bytes[13]) == std::string_view::npos) {
    return fault(ProxyFault::kMalformed);
  }
  const size_t length = number_at(bytes, 14);
  if (length > kMostProxyBlock) return fault(ProxyFault::kTooLong);
  if (bytes.size() < kFixed + length) return {};
  ProxyHeader header;
  if (!read_block(bytes.substr(0, kFixed + length), header)) return fault(ProxyFault::kMalformed);
  into = std::move(header);
  return {State::kWhole, kFixed + length, {}};
}

// ---- writing ----

void put_number(std::string& out, size_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number & 0xff);
}

std::string text_of(const IpPort& address, bool as_v4) {
  if (as_v4) return std::string(address.ip_text().view());
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, address.ip.data(), text, sizeof text);
  return text;
}

std::string write_line(const IpPort& from, const IpPort& to, bool as_v4) {
  std::string line(kLineStart);
  line.append(as_v4 ? "TCP4 " : "TCP6 ").append(text_of(from, as_v4)).append(" ");
  line.append(text_of(to, as_v4)).append(" ").append(std::to_string(from.port)).append(" ");
  return line.append(std::to_string(to.port)).append("\r\n");
}

std::string write_block(const IpPort& from, const IpPort& to, bool as_v4) {
  const size_t skip = as_v4 ? 12 : 0;
  std::string block(kSignature);
  block += as_v4 ? "\x21\x11" : "\x21\x21";
  put_number(block, as_v4 ? 12 : 36);
  for (const IpPort* one : {&from, &to}) {
    block.append(reinterpret_cast<const char*>(one->ip.data()) + skip, 16 - skip);
  }
  put_number(block, from.port);
  put_number(block, to.port);
  return block;
}

std::string write_short(char command) {
  std::string block(kSignature);
  return block.append(1, command).append("\0\0\0", 3);
}

bool has_address(const IpPort& address) {
  return address.ip != std::array<uint8_t, 16>{};
}

}  // namespace

std::optional<IpPort> ip_port_of(std::string_view ip, uint16_t port) {
  char text[INET6_ADDRSTRLEN];
  if (ip.empty() || ip.size() >= sizeof text) return std::nullopt;
  if (ip.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(text, ip.data(), ip.size());
  text[ip.size()] = '\0';
  IpPort out;
  out.port = port;
  if (inet_pton(AF_INET6, text, out.ip.data()) == 1) return out;
  out.ip = kAnyV4;
  if (inet_pton(AF_INET, text, out.ip.data() + 12) == 1) return out;
  return std::nullopt;
}

ProxyVerdict parse_proxy_header(std::string_view bytes, ProxyHeader& into) {
  if (begins(bytes, kLineStart)) {
    return bytes.size() <= kLineStart.size() ? ProxyVerdict{} : parse_line(bytes, into);
  }
  if (begins(bytes, kSignature)) {
    return bytes.size() <= kSignature.size() ? ProxyVerdict{} : parse_block(bytes, into);
  }
  return fault(ProxyFault::kMissing);
}

std::string write_proxy_header(config::ProxyVersion version, const IpPort& source,
                               const IpPort& destination) {
  const bool is_line = version == config::ProxyVersion::kV1;
  if (!has_address(source)) return is_line ? "PROXY UNKNOWN\r\n" : write_short(0x21);
  IpPort to = destination;
  if (!has_address(to) && source.is_v4()) to.ip = kAnyV4;
  const bool as_v4 = source.is_v4() && to.is_v4();
  return is_line ? write_line(source, to, as_v4) : write_block(source, to, as_v4);
}

std::string write_own_proxy_header(config::ProxyVersion version, const IpPort& source,
                                   const IpPort& destination) {
  if (version == config::ProxyVersion::kV2) return write_short(0x20);
  return write_proxy_header(version, source, destination);
}

}  // namespace sluice::net
