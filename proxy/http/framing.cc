#include "proxy/http/framing.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "proxy/base/text.h"
#include "proxy/http/grammar.h"

namespace sluice::http {
namespace {

// Names in all Connection fields of one head; each costs a walk over the fields.
constexpr size_t kMostOptions = 64;
constexpr size_t kMostHost = 255;  // RFC 1035 §2.3.4
// An exbibyte: lengths above are no payload but an attempt at somebody's signed arithmetic.
constexpr uint64_t kMostLength = uint64_t{1} << 60;

tl::unexpected<HeadFault> fault(int status, std::string_view reason) {
  return tl::unexpected(HeadFault{status, reason});
}

// How many there are of the fields that frame. Most messages have few of them, and are spared the
// walks that read the others.
struct Census {
  uint32_t connection = 0;
  uint32_t expect = 0;
  uint32_t host = 0;
  uint32_t length = 0;
  uint32_t transfer = 0;
  uint32_t upgrade = 0;
  uint32_t other_hop = 0;

  bool has_hop_fields() const {
    return (connection | expect | length | transfer | upgrade | other_hop) != 0;
  }
};

Census count_fields(const Headers& headers) {
  Census census;
  for (const Headers::Field& field : headers) {
    switch (field.id) {
      case HeaderId::kConnection: ++census.connection; break;
      case HeaderId::kExpect: ++census.expect; break;
      case HeaderId::kHost: ++census.host; break;
      case HeaderId::kContentLength: ++census.length; break;
      case HeaderId::kTransferEncoding: ++census.transfer; break;
      case HeaderId::kUpgrade: ++census.upgrade; break;
      case HeaderId::kHttp2Settings:
      case HeaderId::kKeepAlive:
      case HeaderId::kProxyAuthorization:
      case HeaderId::kProxyConnection:
      case HeaderId::kTe:
      case HeaderId::kTrailer: ++census.other_hop; break;
      default: break;
    }
  }
  return census;
}

// -- Connection --

struct Options {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool nominates = false;  // fields to be removed
};

// Fields that stay when Connection names them: they route, describe the content, or are set by
// sluice, so taking them away would change what the request means (RFC 9110 §7.6.1 lets us: they
// are not for the sender to nominate).
bool is_never_nominated(HeaderId id, std::string_view name) {
  switch (id) {
    case HeaderId::kHost:
    case HeaderId::kForwarded:
    case HeaderId::kVia:
    case HeaderId::kTraceparent:
    case HeaderId::kXAmznTraceId:
    case HeaderId::kXRealIp:
    case HeaderId::kXRequestId:
    case HeaderId::kXAccelBuffering:
    case HeaderId::kXAccelRedirect: return true;
    default: break;
  }
  const auto starts = [name](std::string_view prefix) {
    return name.size() > prefix.size() && iequals(name.substr(0, prefix.size()), prefix);
  };
  return starts("content-") || starts("x-forwarded-");
}

HeadResult<Options> read_connection(const Headers& headers, const Census& census) {
  Options options;
  if (census.connection == 0) return options;
  bool framing = false;
  size_t elements = 0;
  for (const Headers::Field& field : headers) {
    if (field.id != HeaderId::kConnection) continue;
    for_each_element(field.value, [&options, &framing, &elements](std::string_view name) {
      ++elements;
      if (iequals(name, "keep-alive")) {
        options.keep_alive = true;
      } else if (iequals(name, "close")) {
        options.close = true;
      } else if (iequals(name, "upgrade")) {
        options.upgrade = true;
      } else {
        const HeaderId id = header_id(name);
        framing = framing || id == HeaderId::kContentLength || id == HeaderId::kTransferEncoding;
        options.nominates = true;
      }
    });
  }
  if (elements > kMostOptions) return fault(400, "connection_options");
  // A hop that obeyed would lose the body's length: nobody honest asks for that.
  if (framing) return fault(400, "connection_options");
  return options;
}

void remove_nominated(Headers& headers) {
  std::array<std::string_view, kMostOptions> names;
  size_t count = 0;
  for (const Headers::Field& field : headers) {
    if (field.id != HeaderId::kConnection) continue;
    for_each_element(field.value, [&names, &count](std::string_view name) {
      if (!is_never_nominated(header_id(name), name)) names[count++] = name;
    });
  }
  headers.remove_if([&names, count](const Headers::Field& field) {
    return std::any_of(names.begin(), names.begin() + count,
                       [&field](std::string_view name) { return iequals(name, field.name); });
  });
}

bool is_of_this_hop(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kContentLength:
    case HeaderId::kHttp2Settings:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kProxyConnection:
    case HeaderId::kTe:
    case HeaderId::kTrailer:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade: return true;
    case HeaderId::kExpect:  // what is left of it is 100-continue, or not ours to obey (HTTP/1.0)
      return true;
    default: return false;
  }
}

void remove_hop_fields(Headers& headers, const Census& census, const Options& options) {
  if (options.nominates) remove_nominated(headers);
  if (!census.has_hop_fields()) return;
  headers.remove_if([](const Headers::Field& field) { return is_of_this_hop(field.id); });
}

bool keeps_alive(Version version, const Options& options) {
  // RFC 9112 §9.3: close wins.
  return !options.close && (version != Version::kHttp10 || options.keep_alive);
}

// -- the length of the body --

// Exactly one "chunked" and nothing else. `unknown_status` is for a coding before it that we lack.
HeadResult<bool> read_transfer_encoding(const Headers& headers, const Census& census,
                                        Version version, int unknown_status) {
  if (census.transfer == 0) return false;
  // RFC 9112 §6.1: from HTTP/1.0 the framing is faulty.
  if (version == Version::kHttp10) return fault(400, "transfer_encoding");
  size_t codings = 0;
  size_t chunked = 0;
  bool chunked_last = false;
  bool plain = true;
  for (const Headers::Field& field : headers) {
    if (field.id != HeaderId::kTransferEncoding) continue;
    plain = plain && iequals(field.value, "chunked");
    for_each_element(field.value, [&codings, &chunked, &chunked_last](std::string_view coding) {
      ++codings;
      chunked_last = iequals(coding, "chunked");
      chunked += chunked_last ? 1 : 0;
    });
  }
  if (census.transfer == 1 && plain) return true;
  if (chunked_last && chunked == 1 && codings > 1) return fault(unknown_status, "transfer_coding");
  return fault(400, "transfer_encoding");
}

// The stated length. A list of the same number may be taken as one (RFC 9110 §8.6); from clients it
// is refused, because it only comes from those who try what happens.
HeadResult<std::optional<uint64_t>> read_content_length(const Headers& headers,
                                                        const Census& census, bool allow_repeats) {
  std::optional<uint64_t> length;
  if (census.length == 0) return length;
  if (census.length > 1 && !allow_repeats) return fault(400, "content_length");
  for (const Headers::Field& field : headers) {
    if (field.id != HeaderId::kContentLength) continue;
    for (std::string_view rest = field.value;;) {
      const size_t comma = allow_repeats ? rest.find(',') : std::string_view::npos;
      const auto number = parse_decimal(trim_ows(rest.substr(0, comma)));
      if (!number || *number > kMostLength || (length && *length != *number)) {
        return fault(400, "content_length");
      }
      length = number;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return length;
}

// -- Host --

HeadResult<void> settle_host(RequestHead& head, const Census& census) {
  if (census.host > 1) return fault(400, "duplicate_host");
  if (census.host == 0) {
    // RFC 9112 §3.2: also with absolute-form.
    if (head.version != Version::kHttp10) return fault(400, "missing_host");
    if (!head.authority.empty()) {
      head.headers.add_in_place(HeaderId::kHost, name_of(HeaderId::kHost), head.authority);
    }
    return {};
  }
  // With absolute-form parse_target has put the target's authority here.
  const std::string_view host = head.headers.get(HeaderId::kHost);
  if (!is_valid_authority(host)) return fault(400, "malformed_host");
  head.authority = host;
  return {};
}

HeadResult<void> settle_expect(RequestHead& head, const Census& census) {
  // RFC 9110 §10.1.1: an HTTP/1.0 client does not wait; nor is there anything to wait for without
  // a body.
  if (census.expect == 0 || head.version == Version::kHttp10) return {};
  for (const Headers::Field& field : head.headers) {
    if (field.id != HeaderId::kExpect) continue;
    if (!iequals(field.value, "100-continue")) return fault(417, "expectation");
    head.expects_continue = !head.body.is_none();
  }
  return {};
}

// Requests would pass us unseen inside of it: h2c (RFC 7540 §3.2), TLS (RFC 2817), HTTP itself.
bool carries_http(std::string_view protocol) {
  for (const std::string_view name : {"h2c", "h2", "h3", "http", "https", "tls", "ssl"}) {
    if (iequals(protocol, name)) return true;
  }
  return false;
}

// RFC 6455 §4.1; what the field's value should be is for the server to say.
bool opens_websocket(const RequestHead& head) {
  return head.is("GET") && head.body.is_none() && !head.headers.get("Sec-WebSocket-Key").empty();
}

// One protocol, "name" or "name/version". Any other offer may be ignored (RFC 9110 §7.8): a list, a
// WebSocket that cannot become one, what must not pass.
void settle_upgrade(RequestHead& head, const Census& census, const Options& options) {
  if (head.version != Version::kHttp11 || !options.upgrade || census.upgrade != 1) return;
  if (head.is("HEAD") || head.is("TRACE")) return;
  const std::string_view offered = head.headers.get(HeaderId::kUpgrade);
  const size_t slash = offered.find('/');
  const std::string_view name = offered.substr(0, slash);
  if (!is_token(name) || carries_http(name)) return;
  if (slash != std::string_view::npos && !is_token(offered.substr(slash + 1))) return;
  if (iequals(offered, "websocket") && !opens_websocket(head)) return;
  head.upgrade = offered;
}

// -- authority --

bool is_valid_port(std::string_view port) {
  if (port.empty()) return true;  // RFC 3986 §3.2.3: *DIGIT
  const auto number = parse_decimal(port);
  return number && *number <= 65535;
}

bool is_ipv6(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() >= buffer.size()) return false;
  std::memcpy(buffer.data(), text.data(), text.size());
  in6_addr address;
  return ::inet_pton(AF_INET6, buffer.data(), &address) == 1;
}

// RFC 3986 §3.2.2 without the comma, which makes lists of hosts, and without percent-encoding, by
// which two parties could see two hosts.
constexpr ByteClass kRegName = make_class("-._~!$&'()*+;=", true);

}  // namespace

bool is_valid_authority(std::string_view authority) {
  if (authority.empty()) return false;
  if (authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view inside = authority.substr(1, close - 1);
    if (inside.find('\0') != std::string_view::npos || !is_ipv6(inside)) return false;
    const std::string_view rest = authority.substr(close + 1);
    return rest.empty() || (rest.front() == ':' && is_valid_port(rest.substr(1)));
  }
  const size_t colon = authority.find(':');
  const std::string_view name = authority.substr(0, colon);
  if (name.empty() || name.size() > kMostHost) return false;
  for (const char c : name) {
    if (!kRegName[static_cast<unsigned char>(c)]) return false;
  }
  return colon == std::string_view::npos || is_valid_port(authority.substr(colon + 1));
}

HeadResult<MessageFraming> frame_request(RequestHead& head) {
  const Census census = count_fields(head.headers);
  if (auto host = settle_host(head, census); !host) return tl::unexpected(host.error());
  const auto chunked = read_transfer_encoding(head.headers, census, head.version, 501);
  if (!chunked) return tl::unexpected(chunked.error());
  // RFC 9112 §6.3 would let Transfer-Encoding win; §11.2 names it an attempt at smuggling.
  if (*chunked && census.length > 0) return fault(400, "ambiguous_length");
  const auto length = read_content_length(head.headers, census, false);
  if (!length) return tl::unexpected(length.error());
  const auto options = read_connection(head.headers, census);
  if (!options) return tl::unexpected(options.error());

  MessageFraming framing;
  framing.keep_alive = keeps_alive(head.version, *options);
  head.body = BodySize::none();
  if (*chunked) {
    framing.body = BodyFraming::kChunked;
    head.body = BodySize::unknown();
  } else if (length->value_or(0) > 0) {
    framing.body = BodyFraming::kLength;
    head.body = BodySize::exactly(**length);
  }
  // RFC 9110 §9.3.8
  if (head.is("TRACE") && !head.body.is_none()) return fault(400, "trace_body");
  if (auto expect = settle_expect(head, census); !expect) return tl::unexpected(expect.error());
  settle_upgrade(head, census, *options);
  remove_hop_fields(head.headers, census, *options);
  return framing;
}

namespace {

// RFC 9112 §6.3, rule 1: whatever the fields say.
bool has_no_body(int status, std::string_view method) {
  return status < 200 || status == 204 || status == 304 || method == "HEAD";
}

HeadResult<void> settle_switch(ResponseHead& head, const Census& census, const Options& options,
                               std::string_view upgrade_asked) {
  if (head.status != 101) return {};
  const bool fits = !upgrade_asked.empty() && options.upgrade && census.upgrade == 1 &&
                    iequals(head.headers.get(HeaderId::kUpgrade), upgrade_asked);
  if (!fits) return fault(502, "unasked_upgrade");
  head.upgrade = head.headers.get(HeaderId::kUpgrade);
  return {};
}

}  // namespace

HeadResult<MessageFraming> frame_response(ResponseHead& head, std::string_view method,
                                          std::string_view upgrade_asked) {
  const Census census = count_fields(head.headers);
  const auto options = read_connection(head.headers, census);
  if (!options) return fault(502, options.error().reason);
  if (auto fits = settle_switch(head, census, *options, upgrade_asked); !fits) {
    return tl::unexpected(fits.error());
  }
  MessageFraming framing;
  framing.keep_alive = keeps_alive(head.version, *options);
  head.body = BodySize::none();
  if (head.status < 200 || head.status == 204) {
    // §6.1 forbids both fields here. Who sends them may send a body, too: the connection is spent.
    const bool empty = census.length == 0 || head.headers.get(HeaderId::kContentLength) == "0";
    if (census.transfer > 0 || !empty) framing.keep_alive = false;
    remove_hop_fields(head.headers, census, *options);
    return framing;
  }
  const auto chunked = read_transfer_encoding(head.headers, census, head.version, 502);
  if (!chunked) return fault(502, chunked.error().reason);
  if (*chunked && census.length > 0) return fault(502, "ambiguous_length");
  const auto length = read_content_length(head.headers, census, true);
  if (!length) return fault(502, length.error().reason);
  remove_hop_fields(head.headers, census, *options);

  if (has_no_body(head.status, method)) {
    head.declared_length = *length;
  } else if (*chunked) {
    framing.body = BodyFraming::kChunked;
    head.body = BodySize::unknown();
  } else if (*length) {
    framing.body = **length == 0 ? BodyFraming::kNone : BodyFraming::kLength;
    head.body = BodySize::exactly(**length);
  } else {
    framing.body = BodyFraming::kUntilClose;
    framing.keep_alive = false;
    head.body = BodySize::unknown();
  }
  return framing;
}

void keep_only_trailer_fields(Headers& trailers) {
  if (trailers.empty()) return;
  trailers.remove_if([](const Headers::Field& field) {
    // Whatever we have a name for frames, routes, authenticates, or steers: none may come late.
    if (field.id != HeaderId::kOther) return field.id != HeaderId::kETag;
    if (field.name.find('_') != std::string_view::npos) return true;
    for (const std::string_view prefix :
         {"access-control-", "authentication-", "clear-site-data", "content-", "cookie", "if-",
          "keep-", "pragma", "proxy-", "sec-", "set-cookie", "strict-transport-", "upgrade-",
          "x-accel-", "x-forwarded-", "x-frame-", "x-http-method", "x-original-", "x-rewrite-"}) {
      if (field.name.size() >= prefix.size() &&
          iequals(field.name.substr(0, prefix.size()), prefix)) {
        return true;
      }
    }
    return false;
  });
}

}  // namespace sluice::http
