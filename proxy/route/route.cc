#include "proxy/route/route.h"

#include "proxy/base/text.h"
#include "proxy/route/rewrite.h"

namespace sluice::route {
namespace {

// A path as the configuration has it, decoded but for %2F, becomes what may stand in a request
// line.
std::string encode_path(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "/%-._~!$&'()*+,;=:@";  // RFC 3986 §3.3
  std::string out;
  for (const char c : path) {
    const char lower = ascii_lower(c);
    if ((lower >= 'a' && lower <= 'z') || is_digit(c) || kPlain.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

}  // namespace

Route::Route(const config::Route& configured, size_t index)
    : config(configured),
      id(index),
      replacement(encode_path(configured.replace_prefix.value_or(std::string{}))) {}

std::string_view Route::rest_of(std::string_view path) const {
  if (!config.regex.empty()) return path;
  if (!config.exact.empty()) {
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos ? std::string_view{} : path.substr(slash);
  }
  std::string_view prefix = config.path;
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  return path.size() < prefix.size() ? std::string_view{} : path.substr(prefix.size());
}

size_t Route::matched_segments(std::string_view path) const {
  const bool by_prefix = config.regex.empty() && config.exact.empty();
  return count_segments(by_prefix ? std::string_view{config.path} : path);
}

std::optional<std::string_view> Route::redirect_location(const http::RequestHead& head,
                                                         Arena& arena) const {
  return redirect.location(head, matched_segments(head.path), arena);
}

}  // namespace sluice::route
