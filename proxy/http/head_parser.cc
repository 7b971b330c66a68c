#include "proxy/http/head_parser.h"

#include <algorithm>
#include <cstring>

#include "proxy/base/text.h"
#include "proxy/http/grammar.h"
#include "proxy/http/target.h"

namespace sluice::http {
namespace {

constexpr size_t kNone = std::string_view::npos;
// Empty lines before a request line: old clients send one after a body (RFC 9112 §2.2).
constexpr size_t kLeadingBytes = 16;
constexpr size_t kReasonBytes = 8 * 1024;
// The exchange adds some fields of its own to a request; spare it the second allocation.
constexpr size_t kSpareFields = 8;

tl::unexpected<HeadFault> fault(int status, std::string_view reason) {
  return tl::unexpected(HeadFault{status, reason});
}

// Where a section of lines that an empty line closes lies in the bytes.
struct Section {
  size_t first_line = kNone;  // index of its LF
  size_t end = 0;             // behind the empty line; 0 when that has not come
  size_t lines = 0;           // that this call saw
};

bool has_bare_cr(std::string_view bytes) {
  for (size_t at = bytes.find('\r'); at != kNone; at = bytes.find('\r', at + 1)) {
    if (at + 1 < bytes.size() && bytes[at + 1] != '\n') return true;
  }
  return false;
}

// One step per line. Every LF must follow a CR (RFC 9112 §2.2 would let a recipient be lenient; the
// parties behind us may not be).
HeadResult<Section> find_section(std::string_view bytes, size_t start, size_t& scanned) {
  Section section;
  const size_t from = std::max(start, scanned);
  if (from > start) section.first_line = bytes.substr(0, from).find('\n', start);
  for (size_t at = from; at < bytes.size();) {
    const void* found = std::memchr(bytes.data() + at, '\n', bytes.size() - at);
    if (found == nullptr) break;
    const auto lf = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (lf == start || bytes[lf - 1] != '\r') return fault(400, "malformed_line_end");
    if (section.first_line == kNone) section.first_line = lf;
    ++section.lines;
    at = lf + 1;
    if (lf - 1 == start || bytes[lf - 2] == '\n') {
      section.end = at;
      scanned = 0;
      return section;
    }
  }
  // A head that is whole is looked at byte by byte anyway; one that is not may never become so.
  if (has_bare_cr(bytes.substr(from > start ? from - 1 : from))) {
    return fault(400, "malformed_line_end");
  }
  scanned = bytes.size();
  return section;
}

// Field lines from `at` to `end`, which is the CR of the empty line. The bytes are in the arena.
HeadResult<void> parse_fields(const char* at, const char* end, uint32_t limit, Headers& into) {
  uint32_t count = 0;
  while (at != end) {
    const char* const name = at;
    while (is_tchar(*at)) ++at;
    // An empty name is also what obs-fold looks like (RFC 9112 §5.2).
    if (at == name || *at != ':') return fault(400, "malformed_header");
    const std::string_view field_name{name, static_cast<size_t>(at - name)};
    ++at;
    while (*at == ' ' || *at == '\t') ++at;
    const char* const value = at;
    at = skip_field_bytes(at, end);
    if (at == end || *at != '\r' || at[1] != '\n') return fault(400, "malformed_header");
    const char* last = at;
    while (last != value && (last[-1] == ' ' || last[-1] == '\t')) --last;
    if (++count > limit) return fault(431, "too_many_headers");
    into.add_in_place(header_id(field_name), field_name,
                      {value, static_cast<size_t>(last - value)});
    at += 2;
  }
  return {};
}

// "HTTP/1.1"; a higher minor is what we speak (RFC 9110 §2.5).
HeadResult<Version> parse_version(std::string_view text) {
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !is_digit(text[5]) || text[6] != '.' ||
      !is_digit(text[7])) {
    return fault(400, "malformed_version");
  }
  if (text[5] != '1') return fault(505, "version");
  return text[7] == '0' ? Version::kHttp10 : Version::kHttp11;
}

struct RequestLine {
  std::string_view method;
  std::string_view target;
  Version version = Version::kHttp11;
};

// `line` is without its CRLF. One SP each (RFC 9112 §3).
HeadResult<RequestLine> parse_request_line(std::string_view line) {
  RequestLine out;
  const size_t method_end = line.find(' ');
  if (method_end == kNone) return fault(400, "malformed_request_line");
  out.method = line.substr(0, method_end);
  if (!is_token(out.method)) return fault(400, "malformed_method");
  const std::string_view rest = line.substr(method_end + 1);
  const size_t target_end = rest.find(' ');
  if (target_end == kNone || target_end == 0) return fault(400, "malformed_request_line");
  out.target = rest.substr(0, target_end);
  const auto version = parse_version(rest.substr(target_end + 1));
  if (!version) return tl::unexpected(version.error());
  out.version = *version;
  return out;
}

struct StatusLine {
  Version version = Version::kHttp11;
  int status = 0;
  std::string_view reason;
};

HeadResult<StatusLine> parse_status_line(std::string_view line) {
  const auto malformed = fault(502, "malformed_status_line");
  if (line.size() < 12 || line[8] != ' ') return malformed;
  const auto version = parse_version(line.substr(0, 8));
  if (!version) return fault(502, version.error().reason);
  const std::string_view code = line.substr(9, 3);
  if (code[0] < '1' || code[0] > '5' || !is_digit(code[1]) || !is_digit(code[2])) return malformed;
  StatusLine out{*version, static_cast<int>(*parse_decimal(code)), {}};
  if (line.size() == 12) return out;  // the space is missing, which is common
  if (line[12] != ' ') return malformed;
  out.reason = line.substr(13);
  const char* const end = out.reason.data() + out.reason.size();
  if (skip_field_bytes(out.reason.data(), end) != end) return malformed;
  if (out.reason.size() > kReasonBytes) return fault(502, "headers_too_large");
  return out;
}

// The ceilings, as soon as they are passed. The first line is without its CRLF, the block without
// the empty line.
HeadResult<void> check_limits(std::string_view bytes, size_t start, const Section& section,
                              const HeadLimits& limits, int status_line_fault) {
  if (section.first_line == kNone) {
    if (bytes.size() - start > limits.line + 1)
      return fault(status_line_fault, "request_line_too_long");
    return {};
  }
  if (section.first_line - 1 - start > limits.line) {
    return fault(status_line_fault, "request_line_too_long");
  }
  const size_t fields = section.first_line + 1;
  const bool over = section.end != 0 ? section.end - fields > limits.block + 2
                                     : bytes.size() - fields > limits.block + 1;
  if (over) return fault(431, "headers_too_large");
  return {};
}

struct Whole {
  const char* line = nullptr;  // in the arena
  size_t line_size = 0;
  const char* fields = nullptr;
  const char* end = nullptr;  // the CR of the empty line
};

// One copy for the head, and room for its fields.
Whole copy_head(std::string_view bytes, size_t start, const Section& section, size_t most_fields,
                Headers& into) {
  const std::string_view kept = into.arena().copy(bytes.substr(start, section.end - start));
  into.reserve(std::min(section.lines, most_fields) + kSpareFields);
  Whole whole;
  whole.line = kept.data();
  whole.line_size = section.first_line - 1 - start;
  whole.fields = kept.data() + (section.first_line + 1 - start);
  whole.end = kept.data() + kept.size() - 2;
  return whole;
}

}  // namespace

HeadResult<size_t> parse_request_head(std::string_view bytes, const HeadLimits& limits,
                                      size_t& scanned, RequestHead& into) {
  size_t start = 0;
  while (bytes.substr(start, 2) == "\r\n") start += 2;
  if (start > kLeadingBytes) return fault(400, "malformed_request_line");
  if (start == bytes.size()) {  // nothing of a head yet: the caller may well drop what there is
    scanned = 0;
    return 0;
  }
  // No more than can be right is looked at, however much has been read.
  bytes = bytes.substr(0, start + limits.line + limits.block + 4);
  const size_t seen = std::max(start, scanned);
  const auto section = find_section(bytes, start, scanned);
  if (!section) return tl::unexpected(section.error());
  if (auto fine = check_limits(bytes, start, *section, limits, 414); !fine) {
    return tl::unexpected(fine.error());
  }
  if (section->end == 0) {
    // What speaks no HTTP/1 (0.9, TLS, h2) need not be waited for; looked at once.
    if (section->first_line != kNone && section->first_line >= seen) {
      const auto line = parse_request_line(bytes.substr(start, section->first_line - 1 - start));
      if (!line) return tl::unexpected(line.error());
    }
    return 0;
  }
  const Whole whole = copy_head(bytes, start, *section, limits.count, into.headers);
  const auto line = parse_request_line({whole.line, whole.line_size});
  if (!line) return tl::unexpected(line.error());
  into.method = line->method;
  into.target = line->target;
  into.version = line->version;
  if (auto fields = parse_fields(whole.fields, whole.end, limits.count, into.headers); !fields) {
    return tl::unexpected(fields.error());
  }
  if (auto target = parse_target(line->target, into); !target)
    return tl::unexpected(target.error());
  return section->end;
}

HeadResult<size_t> parse_response_head(std::string_view bytes, const HeadLimits& limits,
                                       size_t& scanned, ResponseHead& into) {
  constexpr std::string_view kStart = "HTTP/";
  if (bytes.substr(0, kStart.size()) != kStart.substr(0, bytes.size())) {
    return fault(502, "malformed_status_line");
  }
  bytes = bytes.substr(0, limits.line + limits.block + 4);
  const auto section = find_section(bytes, 0, scanned);
  if (!section) return fault(502, section.error().reason);
  if (!check_limits(bytes, 0, *section, limits, 502)) return fault(502, "headers_too_large");
  if (section->end == 0) return 0;
  const Whole whole = copy_head(bytes, 0, *section, limits.count, into.headers);
  const auto line = parse_status_line({whole.line, whole.line_size});
  if (!line) return tl::unexpected(line.error());
  into.status = line->status;
  into.reason = line->reason;
  into.version = line->version;
  if (auto fields = parse_fields(whole.fields, whole.end, limits.count, into.headers); !fields) {
    return fault(502, fields.error().reason);
  }
  return section->end;
}

HeadResult<size_t> parse_trailers(std::string_view bytes, const HeadLimits& limits, size_t& scanned,
                                  Headers& into) {
  if (bytes.substr(0, 2) == "\r\n") {
    scanned = 0;
    return 2;
  }
  bytes = bytes.substr(0, limits.block + 3);
  const auto section = find_section(bytes, 0, scanned);
  if (!section) return tl::unexpected(section.error());
  const bool over =
      section->end != 0 ? section->end > limits.block + 2 : bytes.size() > limits.block + 1;
  if (over) return fault(431, "headers_too_large");
  if (section->end == 0) return 0;
  const std::string_view kept = into.arena().copy(bytes.substr(0, section->end));
  if (auto fields = parse_fields(kept.data(), kept.data() + kept.size() - 2, limits.count, into);
      !fields) {
    return tl::unexpected(fields.error());
  }
  return section->end;
}

}  // namespace sluice::http
