#include "proxy/http/uwsgi_params.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "proxy/base/assert.h"
#include "proxy/base/text.h"

namespace sluice::http {
namespace {

constexpr size_t kMostBlock = 65535;
constexpr size_t kPacketHead = 4;
constexpr std::string_view kHeaderPrefix = "HTTP_";

class Number {
 public:
  explicit Number(uint64_t value)
      : size_(static_cast<size_t>(
            std::to_chars(text_.data(), text_.data() + text_.size(), value).ptr - text_.data())) {}
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  std::array<char, 24> text_;
  size_t size_;
};

// %-decoded once and not normalised: what the application resolves is what the client sent.
std::optional<std::string> decode_path(std::string_view path) {
  std::string decoded;
  decoded.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    char byte = path[i];
    if (byte == '%') {
      if (path.size() - i < 3) return std::nullopt;
      const int high = hex_value(path[i + 1]);
      const int low = hex_value(path[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      byte = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (byte == '\0') return std::nullopt;
    decoded.push_back(byte);
  }
  return decoded;
}

// Without its port.
std::string_view host_of(std::string_view authority) {
  const auto end = authority.starts_with('[') ? authority.find(']') + 1 : authority.rfind(':');
  return authority.substr(0, std::min(end, authority.size()));
}

// Letters, digits and hyphens: any other name could meet a different one's variable (RFC 3875
// §4.1.18), first of all by an underscore. Proxy becomes HTTP_PROXY, which libraries obey.
bool is_passed(const Headers::Field& field) {
  switch (field.id) {
    case HeaderId::kConnection:
    case HeaderId::kContentLength:
    case HeaderId::kContentType:
    case HeaderId::kExpect:
    case HeaderId::kHost:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxy:
    case HeaderId::kProxyConnection:
    case HeaderId::kTe:
    case HeaderId::kTrailer:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade: return false;
    default: break;
  }
  return std::all_of(field.name.begin(), field.name.end(), [](char c) {
    const char l = ascii_lower(c);
    return (l >= 'a' && l <= 'z') || is_digit(c) || c == '-';
  });
}

bool is_same_name(const Headers::Field& a, const Headers::Field& b) {
  if (a.id != HeaderId::kOther || b.id != HeaderId::kOther) return a.id == b.id;
  return iequals(a.name, b.name);
}

// Both passes over the variables see the same words; what costs work is computed once, here.
struct Words {
  explicit Words(const RequestHead& head)
      : content_length(head.body.length),
        client_port(head.origin.client_port),
        server_port(head.origin.server_port) {}

  std::string path_info;
  Number content_length;
  Number client_port;
  Number server_port;
};

// pair(name, value) for the fixed ones.
template <typename Pair>
void visit_fixed(const RequestHead& head, const Words& words, Pair pair) {
  const RequestOrigin& origin = head.origin;
  const bool has_length = head.body.kind == BodySize::Kind::kExact;
  pair("QUERY_STRING", head.query);
  pair("REQUEST_METHOD", head.method);
  pair("CONTENT_TYPE", head.headers.get(HeaderId::kContentType));
  pair("CONTENT_LENGTH", has_length ? words.content_length.view() : std::string_view{});
  pair("REQUEST_URI", head.target);
  pair("PATH_INFO", words.path_info);
  pair("DOCUMENT_ROOT", "");
  pair("SERVER_PROTOCOL", head.version == Version::kHttp2 ? "HTTP/2.0" : name_of(head.version));
  pair("REQUEST_SCHEME", head.secure ? "https" : "http");
  if (head.secure) pair("HTTPS", "on");
  pair("REMOTE_ADDR", origin.client_address);
  pair("REMOTE_PORT", words.client_port.view());
  if (!origin.server_address.empty()) pair("SERVER_ADDR", origin.server_address);
  pair("SERVER_PORT", words.server_port.view());
  pair("SERVER_NAME", origin.server_name.empty() ? host_of(head.authority) : origin.server_name);
  // gunicorn would keep the connection otherwise, and the worker with it.
  pair("HTTP_CONNECTION", "close");
  const Headers::Field* host = head.headers.find(HeaderId::kHost);
  const std::string_view host_value = host == nullptr ? head.authority : host->value;
  if (!host_value.empty()) pair("HTTP_HOST", host_value);
}

// begin(name, size of the value), then part(bytes) for each piece of the value. Repeated fields
// become one variable: an application sees only one of several, and not each the same one.
template <typename Begin, typename Part>
void visit_headers(const Headers& headers, Begin begin, Part part) {
  for (auto field = headers.begin(); field != headers.end(); ++field) {
    if (!is_passed(*field)) continue;
    const auto is_same = [field](const auto& other) { return is_same_name(*field, other); };
    if (std::any_of(headers.begin(), field, is_same)) continue;
    const std::string_view joint = field->id == HeaderId::kCookie ? "; " : ", ";
    size_t size = field->value.size();
    for (auto next = field + 1; next != headers.end(); ++next) {
      if (is_same(*next)) size += joint.size() + next->value.size();
    }
    begin(field->name, size);
    part(field->value);
    for (auto next = field + 1; next != headers.end(); ++next) {
      if (!is_same(*next)) continue;
      part(joint);
      part(next->value);
    }
  }
}

class Pen {
 public:
  explicit Pen(char* at) : at_(at) {}
  void put(std::string_view text) {
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void put_size(size_t size) {
    *at_++ = static_cast<char>(size & 0xff);
    *at_++ = static_cast<char>(size >> 8 & 0xff);
  }
  void put_byte(char byte) { *at_++ = byte; }
  void put_header_name(std::string_view name) {
    put_size(kHeaderPrefix.size() + name.size());
    put(kHeaderPrefix);
    for (const char c : name) {
      const bool lower = c >= 'a' && c <= 'z';
      *at_++ = c == '-' ? '_' : lower ? static_cast<char>(c - 32) : c;
    }
  }

 private:
  char* at_;
};

UwsgiPacket measure(const RequestHead& head, const Words& words) {
  UwsgiPacket packet;
  visit_fixed(head, words, [&packet](std::string_view name, std::string_view value) {
    packet.size += 4 + name.size() + value.size();
    ++packet.pairs;
  });
  visit_headers(
      head.headers,
      [&packet](std::string_view name, size_t size) {
        packet.size += 4 + kHeaderPrefix.size() + name.size() + size;
        ++packet.pairs;
      },
      [](std::string_view) {});
  return packet;
}

}  // namespace

Result<UwsgiPacket> write_uwsgi_packet(const RequestHead& head, Chain& out) {
  SLUICE_ASSERT(!head.body.is_unknown());
  Words words(head);
  auto path_info = decode_path(head.target.substr(0, head.target.find('?')));
  if (!path_info) return fail(ErrorCode::kMalformed, Side::kClient, "path");
  words.path_info = std::move(*path_info);
  const UwsgiPacket packet = measure(head, words);
  if (packet.size > kMostBlock) return fail(ErrorCode::kTooLarge, Side::kClient, "uwsgi block");

  Pen pen(out.prepare(kPacketHead + packet.size));
  pen.put_byte(0);  // modifier1: a WSGI request
  pen.put_size(packet.size);
  pen.put_byte(0);  // modifier2
  visit_fixed(head, words, [&pen](std::string_view name, std::string_view value) {
    pen.put_size(name.size());
    pen.put(name);
    pen.put_size(value.size());
    pen.put(value);
  });
  visit_headers(
      head.headers,
      [&pen](std::string_view name, size_t size) {
        pen.put_header_name(name);
        pen.put_size(size);
      },
      [&pen](std::string_view part) { pen.put(part); });
  out.commit(kPacketHead + packet.size);
  return packet;
}

}  // namespace sluice::http
