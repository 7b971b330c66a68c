#include "proxy/route/rewrite.h"

#include <cstring>
#include <vector>

#include "proxy/base/text.h"
#include "proxy/route/route.h"

namespace sluice::route {
namespace {

// 1 for ".", 2 for "..", in any encoding; else 0.
size_t dots_in(std::string_view segment) {
  size_t dots = 0;
  while (!segment.empty()) {
    if (segment.front() == '.') {
      segment.remove_prefix(1);
    } else if (segment.size() >= 3 && segment[0] == '%' && segment[1] == '2' &&
               ascii_lower(segment[2]) == 'e') {
      segment.remove_prefix(3);
    } else {
      return 0;
    }
    if (++dots > 2) return 0;
  }
  return dots;
}

std::string_view first_segment(std::string_view path) {
  return path.substr(0, path.find('/'));
}

bool has_dot_segments(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);
    const auto segment = first_segment(path);
    if (dots_in(segment) != 0) return true;
    path.remove_prefix(segment.size());
  }
  return false;
}

// Requires: no dot segments. Empty segments are not counted: matching merged them, too.
std::string_view cut_plain(std::string_view path, size_t segments) {
  while (path.size() > 1 && path[1] == '/') path.remove_prefix(1);
  for (; segments > 0 && path.size() > 1; --segments) {
    path.remove_prefix(1 + first_segment(path.substr(1)).size());
    while (path.size() > 1 && path[1] == '/') path.remove_prefix(1);
  }
  return segments > 0 ? std::string_view{} : path;
}

// The same where dot segments have to be resolved first; what stays is copied raw.
std::string_view cut_resolved(std::string_view path, size_t segments, Arena& arena) {
  std::vector<std::string_view> kept;
  bool ends_with_slash = false;
  for (auto left = path; !left.empty();) {
    left.remove_prefix(1);
    const auto segment = first_segment(left);
    left.remove_prefix(segment.size());
    const size_t dots = dots_in(segment);
    ends_with_slash = segment.empty() || dots > 0;
    if (dots == 2 && !kept.empty()) kept.pop_back();
    if (!ends_with_slash) kept.push_back(segment);
  }
  if (kept.size() < segments) return {};
  char* const begin = arena.allocate(path.size() + 1);
  char* at = begin;
  for (size_t i = segments; i < kept.size(); ++i) {
    *at++ = '/';
    std::memcpy(at, kept[i].data(), kept[i].size());
    at += kept[i].size();
  }
  if (ends_with_slash) *at++ = '/';
  return {begin, static_cast<size_t>(at - begin)};
}

std::string_view join(std::string_view a, std::string_view b, std::string_view c, Arena& arena) {
  const size_t size = a.size() + b.size() + c.size();
  char* const begin = arena.allocate(size);
  char* at = begin;
  for (const auto part : {a, b, c}) {
    if (!part.empty()) std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  return {begin, size};
}

}  // namespace

std::string_view host_of(std::string_view authority) {
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  if (bracket != std::string_view::npos && colon < bracket) return authority;
  return authority.substr(0, colon);
}

size_t count_segments(std::string_view path) {
  size_t count = 0;
  for (size_t i = 0; i + 1 < path.size(); ++i)
    count += path[i] == '/' && path[i + 1] != '/' ? 1 : 0;
  return count;
}

bool is_below(std::string_view path, std::string_view prefix) {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (path.substr(0, prefix.size()) != prefix) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

std::string_view target_rest(std::string_view target, size_t segments, Arena& arena) {
  const auto path = target.substr(0, target.find('?'));
  const auto query = target.substr(path.size());
  if (has_dot_segments(path)) return join(cut_resolved(path, segments, arena), query, {}, arena);
  const auto rest = cut_plain(path, segments);
  return rest.empty() ? query : target.substr(path.size() - rest.size());
}

std::string_view rewrite_target(const Route& route, const http::RequestHead& head, Arena& arena) {
  const auto& config = route.config;
  if (head.target.empty() || head.target.front() != '/') return head.target;
  std::string_view replacement;
  size_t segments = 0;
  if (config.replace_prefix) {
    replacement = route.replacement;
    segments = route.matched_segments(head.path);
  } else {
    if (config.strip_prefix.empty() || !is_below(head.path, config.strip_prefix))
      return head.target;
    segments = count_segments(config.strip_prefix);
  }
  const auto rest = target_rest(head.target, segments, arena);
  const bool has_path = !rest.empty() && rest.front() == '/';
  if (has_path && replacement.ends_with('/')) replacement.remove_suffix(1);
  if (has_path && replacement.empty()) return rest;
  return join(replacement.empty() ? "/" : replacement, rest, {}, arena);
}

}  // namespace sluice::route
