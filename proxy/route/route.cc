#include "proxy/route/route.h"

#include "proxy/route/rewrite.h"

namespace sluice::route {

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
