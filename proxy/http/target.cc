#include "proxy/http/target.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "proxy/base/text.h"

namespace sluice::http {
namespace {

tl::unexpected<HeadFault> malformed() {
  return tl::unexpected(HeadFault{400, "malformed_target"});
}

// VCHAR but '#': a fragment is never sent (RFC 9112 §3.2). Wider than RFC 3986, which forbids |, {,
// } and the like, because browsers send those raw.
bool is_target_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

// "http://" or "https://" at the start, in any case; its length, or 0.
size_t scheme_length(std::string_view raw) {
  for (const std::string_view scheme :
       {std::string_view{"http://"}, std::string_view{"https://"}}) {
    if (raw.size() >= scheme.size() && iequals(raw.substr(0, scheme.size()), scheme)) {
      return scheme.size();
    }
  }
  return 0;
}

HeadResult<void> split_origin_form(std::string_view raw, RequestHead& head) {
  const size_t mark = raw.find('?');
  const std::string_view path = raw.substr(0, mark);
  if (path.find('\\') != std::string_view::npos) return malformed();
  head.target = raw;
  head.query = mark == std::string_view::npos ? std::string_view{} : raw.substr(mark + 1);
  head.path = normalize_path(path, head.headers.arena()).value_or(std::string_view{});
  return {};
}

// RFC 9112 §3.2.2: the authority replaces Host. A request without Host stays one without, so that
// frame_request can refuse it; so does one with several.
HeadResult<void> take_authority(std::string_view authority, RequestHead& head) {
  if (!is_valid_authority(authority)) return malformed();
  head.authority = authority;
  for (Headers::Field& field : head.headers) {
    if (field.id != HeaderId::kHost) continue;
    // §3.2: an invalid Host is refused even where it is not used.
    if (!is_valid_authority(field.value)) return tl::unexpected(HeadFault{400, "malformed_host"});
    field.value = authority;
  }
  return {};
}

HeadResult<void> parse_absolute_form(std::string_view raw, size_t scheme, RequestHead& head) {
  const std::string_view rest = raw.substr(scheme);
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  if (auto taken = take_authority(rest.substr(0, end), head); !taken) return taken;
  const std::string_view path = rest.substr(end);
  if (!path.empty() && path.front() == '/') return split_origin_form(path, head);
  if (path.empty() && head.is("OPTIONS")) {  // §3.2.4: the last hop makes it "*"
    head.target = head.path = "*";
    return {};
  }
  if (path.empty()) return split_origin_form("/", head);
  char* const copy = head.headers.arena().allocate(path.size() + 1);
  copy[0] = '/';
  std::memcpy(copy + 1, path.data(), path.size());
  return split_origin_form({copy, path.size() + 1}, head);
}

bool needs_work(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') return true;
    if (path[i] == '/' && i + 1 < path.size() && (path[i + 1] == '/' || path[i + 1] == '.'))
      return true;
  }
  return false;
}

// Writes the decoded segment to `out`; nullptr on a malformed escape or an encoded NUL.
char* decode_segment(std::string_view segment, char* out) {
  for (size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '%') {
      *out++ = segment[i];
      continue;
    }
    if (segment.size() - i < 3) return nullptr;
    const int high = hex_value(segment[i + 1]);
    const int low = hex_value(segment[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return nullptr;
    const char byte = static_cast<char>(high * 16 + low);
    if (byte == '/') {
      out = std::copy_n("%2F", 3, out);
    } else {
      *out++ = byte;
    }
    i += 2;
  }
  return out;
}

}  // namespace

HeadResult<void> parse_target(std::string_view raw, RequestHead& head) {
  // We tunnel to nobody (RFC 9110 §9.3.6).
  if (head.is("CONNECT")) return tl::unexpected(HeadFault{405, "connect"});
  if (raw.empty() || !is_target_text(raw)) return malformed();
  if (raw.front() == '/') return split_origin_form(raw, head);
  if (raw == "*") {
    if (!head.is("OPTIONS")) return malformed();
    head.target = head.path = "*";
    return {};
  }
  const size_t scheme = scheme_length(raw);
  if (scheme == 0) return malformed();
  return parse_absolute_form(raw, scheme, head);
}

std::optional<std::string_view> normalize_path(std::string_view raw_path, Arena& arena) {
  if (raw_path.empty() || raw_path.front() != '/') return std::nullopt;
  if (!needs_work(raw_path)) return raw_path;
  // Nothing grows on the way: an escape is kept or becomes shorter.
  char* const begin = arena.allocate(raw_path.size());
  char* out = begin;
  *out++ = '/';  // what is written always begins with it, and a finished segment ends with it
  for (std::string_view rest = raw_path.substr(1);;) {
    const size_t slash = rest.find('/');
    char* const segment = out;
    out = decode_segment(rest.substr(0, slash), out);
    if (out == nullptr) return std::nullopt;
    // Resolved after decoding: "%2e%2e" climbs like "..", in our eyes as in the upstream's.
    const std::string_view decoded{segment, static_cast<size_t>(out - segment)};
    const bool up = decoded == "..";
    const bool gone = up || decoded.empty() || decoded == ".";
    if (gone) out = segment;
    if (up && segment - begin > 1) {
      --out;
      while (out[-1] != '/') --out;
    }
    if (slash == std::string_view::npos) break;
    if (!gone) *out++ = '/';
    rest.remove_prefix(slash + 1);
  }
  return std::string_view{begin, static_cast<size_t>(out - begin)};
}

}  // namespace sluice::http
