#include "proxy/http/cgi_variables.h"

#include "proxy/base/assert.h"
#include "proxy/base/text.h"

namespace sluice::http {

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

CgiVariables::CgiVariables(const RequestHead& head)
    : head_(head),
      content_length_(head.body.length),
      client_port_(head.origin.client_port),
      server_port_(head.origin.server_port) {
  SLUICE_ASSERT(!head.body.is_unknown());
}

// Letters, digits and hyphens: any other name could meet a different one's variable (RFC 3875
// §4.1.18), first of all by an underscore. Proxy becomes HTTP_PROXY, which libraries obey.
bool CgiVariables::is_passed(const Headers::Field& field) {
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

bool CgiVariables::is_same_name(const Headers::Field& a, const Headers::Field& b) {
  if (a.id != HeaderId::kOther || b.id != HeaderId::kOther) return a.id == b.id;
  return iequals(a.name, b.name);
}

std::string_view CgiVariables::protocol() const {
  return name_of(head_.version);
}

// The host without its port, unless the listener has a name.
std::string_view CgiVariables::server_name() const {
  if (!head_.origin.server_name.empty()) return head_.origin.server_name;
  const std::string_view authority = head_.authority;
  const auto end = authority.starts_with('[') ? authority.find(']') + 1 : authority.rfind(':');
  return authority.substr(0, std::min(end, authority.size()));
}

std::string_view CgiVariables::host() const {
  const Headers::Field* host = head_.headers.find(HeaderId::kHost);
  return host == nullptr ? head_.authority : host->value;
}

}  // namespace sluice::http
