#include "proxy/config/http_url.h"

#include <algorithm>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/address.h"

namespace sluice::config {
namespace {

constexpr std::string_view kScheme = "http://";
constexpr size_t kLongest = 2048;

tl::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(detail));
}

bool has_port(std::string_view authority) {
  const auto colon = authority.rfind(':');
  const auto bracket = authority.rfind(']');
  if (colon == std::string_view::npos) return false;
  return bracket == std::string_view::npos || colon > bracket;
}

}  // namespace

Result<HttpUrl> parse_http_url(std::string_view text) {
  const bool clean = std::all_of(text.begin(), text.end(),
                                 [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
  if (!clean || text.size() > kLongest) {
    return wrong(fmt::format("is no URL; at most {} printable ASCII characters, without a #",
                             kLongest));
  }
  const auto scheme = text.find("://");
  const auto behind = scheme == std::string_view::npos ? text : text.substr(scheme + 3);
  const auto slash = std::min(behind.find_first_of("/?"), behind.size());
  const auto authority = behind.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) {
    return wrong("holds a user or password; leave it out, and write it as a header field's value "
                 "into authorization");
  }
  if (text.substr(0, kScheme.size()) != kScheme) {
    return wrong(fmt::format("\"{}\": plain HTTP only; write http://localhost:2772/…", text));
  }
  auto address = parse_address(has_port(authority) ? std::string{authority}
                                                   : fmt::format("{}:80", authority),
                               AddressUse::kConnect);
  if (!address || address->is_unix) {
    return wrong(fmt::format("\"{}\" is neither localhost nor an IP address, and is not looked up; "
                             "write http://localhost:2772/… or http://10.0.0.2/…", authority));
  }
  HttpUrl url{std::move(*address), std::string{authority}, std::string{behind.substr(slash)}};
  if (url.target.empty() || url.target.front() != '/') url.target.insert(url.target.begin(), '/');
  return url;
}

}  // namespace sluice::config
