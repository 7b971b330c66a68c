#include "proxy/http/h2_head.h"

#include <charconv>
#include <cstring>

#include "proxy/base/text.h"
#include "proxy/http/grammar.h"
#include "proxy/http/target.h"

namespace sluice::http {
namespace {

// Somebody who sends a few times what is allowed made a mistake and is told; more is an attack:
// HPACK makes a long field of one byte (RFC 7541 §7.3).
constexpr size_t kHarm = 8;

tl::unexpected<HeadFault> fault(int status, std::string_view reason) {
  return tl::unexpected(HeadFault{status, reason});
}

bool is_field_value(std::string_view value) {
  const char* const end = value.data() + value.size();
  return value.empty() || skip_field_bytes(value.data(), end) == end;
}

// RFC 9113 §8.2.2: these speak of a connection; a filter may have set one for HTTP/1.1.
bool is_of_connection(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
    case HeaderId::kContentLength:  // said by body
      return true;
    default: return false;
  }
}

}  // namespace

bool H2Head::measure(std::string_view name, std::string_view value, const HeadLimits& limits,
                     HeadFault& found) {
  block_ += name.size() + value.size() + 4;  // as in HTTP/1.1: ": " and CRLF
  ++count_;
  if (found.status == 0 && block_ > limits.block) found = {431, "headers_too_large"};
  if (found.status == 0 && count_ > limits.count) found = {431, "too_many_headers"};
  return block_ <= limits.block * kHarm && count_ / kHarm <= limits.count;
}

bool H2Head::add_pseudo(std::string_view name, std::string_view value, const HeadLimits& limits) {
  line_ += value.size();
  if (line_ > limits.line) {
    if (fault_.status == 0) fault_ = {414, "request_line_too_long"};
    return line_ <= limits.line * kHarm;
  }
  Arena& arena = head_.headers.arena();
  if (name == ":method") {
    head_.method = arena.copy(value);
  } else if (name == ":path") {
    path_ = head_.target = arena.copy(value);
  } else if (name == ":scheme") {
    scheme_ = arena.copy(value);
  } else if (name == ":authority") {
    authority_ = arena.copy(value);
  }
  return true;
}

bool H2Head::add(std::string_view name, std::string_view value, const HeadLimits& limits) {
  if (!name.empty() && name.front() == ':') return add_pseudo(name, value, limits);
  const bool bearable = measure(name, value, limits, fault_);
  if (fault_.status != 0) return bearable;
  const HeaderId id = header_id(name);
  Headers& headers = head_.headers;
  if (id == HeaderId::kCookie) ++cookies_;
  const std::string_view kept = id == HeaderId::kOther ? headers.arena().copy(name) : name_of(id);
  headers.add_in_place(id, kept, headers.arena().copy(value));
  // nghttp2 looks at both, too; this is the grammar that HTTP/1.1 heads are held to.
  if (!is_token(name) || !is_field_value(value)) fault_ = {400, "malformed_header"};
  return true;
}

void H2Head::begin_trailers() {
  block_ = 0;
  count_ = 0;
}

bool H2Head::add_trailer(std::string_view name, std::string_view value, const HeadLimits& limits) {
  const bool bearable = measure(name, value, limits, trailer_fault_);
  if (trailer_fault_.status != 0) return bearable;
  if (!is_token(name) || !is_field_value(value)) trailer_fault_ = {400, "malformed_header"};
  trailers_.add(name, value);
  return true;
}

// RFC 9113 §8.2.3: the crumbs become one field again.
void H2Head::join_cookies() {
  Headers& headers = head_.headers;
  size_t size = 0;
  for (const auto& field : headers) {
    if (field.id == HeaderId::kCookie) size += field.value.size() + 2;
  }
  char* const begin = headers.arena().allocate(size);
  char* at = begin;
  for (const auto& field : headers) {
    if (field.id != HeaderId::kCookie) continue;
    if (at != begin) {
      *at++ = ';';
      *at++ = ' ';
    }
    if (!field.value.empty()) std::memcpy(at, field.value.data(), field.value.size());
    at += field.value.size();
  }
  headers.remove(HeaderId::kCookie);
  headers.add_in_place(HeaderId::kCookie, name_of(HeaderId::kCookie),
                       {begin, static_cast<size_t>(at - begin)});
}

// RFC 9113 §8.3.1: the authority is what HTTP/1.1 calls Host. One that differs from it would route
// here by one and there by the other.
HeadResult<void> H2Head::settle_host() {
  Headers& headers = head_.headers;
  const size_t hosts = headers.count(HeaderId::kHost);
  if (hosts > 1) return fault(400, "duplicate_host");
  if (authority_.empty()) return {};  // then a Host is needed: frame_request() says so
  if (hosts == 1) {
    return iequals(headers.get(HeaderId::kHost), authority_) ? HeadResult<void>{}
                                                             : fault(400, "host_differs");
  }
  headers.add_in_place(HeaderId::kHost, name_of(HeaderId::kHost), authority_);
  return {};
}

HeadResult<void> H2Head::finish(bool ends) {
  head_.version = Version::kHttp2;
  if (fault_.status != 0) return tl::unexpected(fault_);
  if (!is_token(head_.method)) return fault(400, "malformed_method");
  const bool connects = head_.is("CONNECT");
  if (!connects && !iequals(scheme_, "http") && !iequals(scheme_, "https")) {
    return fault(400, "scheme");
  }
  // §8.3.1: origin-form or "*"; what would be absolute-form in HTTP/1.1 has its place elsewhere.
  const bool fits = !path_.empty() && (path_.front() == '/' || path_ == "*");
  if (!connects && !fits) return fault(400, "malformed_target");
  if (auto target = parse_target(path_, head_); !target) return target;
  if (auto host = settle_host(); !host) return host;
  if (cookies_ > 1) join_cookies();
  const bool expects = head_.headers.has(HeaderId::kExpect);
  if (auto framing = frame_request(head_); !framing) return tl::unexpected(framing.error());
  // Where the body ends is said by frames; nghttp2 holds them against Content-Length (§8.1.1).
  if (ends) {
    head_.body = BodySize::none();
  } else if (head_.body.is_none()) {
    head_.body = BodySize::unknown();
  }
  if (head_.is("TRACE") && !ends) return fault(400, "trace_body");  // RFC 9110 §9.3.8
  head_.expects_continue = expects && !ends;
  return {};
}

void list_response_fields(const ResponseHead& head, std::string_view date, H2Numbers& scratch,
                          std::vector<nghttp2_nv>& into) {
  into.clear();
  std::to_chars(scratch.status, scratch.status + sizeof scratch.status, head.status);
  into.push_back(h2_field(":status", {scratch.status, sizeof scratch.status}));
  for (const Headers::Field& field : head.headers) {
    if (!is_of_connection(field.id)) into.push_back(h2_field(field.name, field.value));
  }
  if (head.status < 200) return;
  if (!head.headers.has(HeaderId::kDate)) into.push_back(h2_field("date", date));
  if (head.status == 204) return;  // RFC 9110 §8.6
  std::optional<uint64_t> length = head.declared_length;
  if (head.body.kind == BodySize::Kind::kExact) length = head.body.length;
  if (!length) return;
  const char* const end =
      std::to_chars(scratch.length, scratch.length + sizeof scratch.length, *length).ptr;
  into.push_back(
      h2_field("content-length", {scratch.length, static_cast<size_t>(end - scratch.length)}));
}

}  // namespace sluice::http
