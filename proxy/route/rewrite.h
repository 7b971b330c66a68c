// Rewrite: what is cut from a raw target and put in its place. Paths are matched decoded and
// forwarded raw, so a prefix is counted in segments, which both forms have in common. Pure
// functions; what they return points into the target, the route or the arena. Any thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/http/message.h"

namespace sluice::route {

struct Route;

// "example.com:8080" → "example.com", "[::1]:80" → "[::1]".
std::string_view host_of(std::string_view authority);

// How many segments: "/" 0, "/a" 1, "/a/b/" 2.
size_t count_segments(std::string_view path);

// Whether the decoded path is the prefix or lies below it; a slash at the prefix's end is ignored.
bool is_below(std::string_view path, std::string_view prefix);

// The raw target without its first segments: "" or "/..." or "?...", the query as it was. Bytes
// stay as they are; only dot segments, if there are any, and slashes in a row at the cut are
// resolved.
std::string_view target_rest(std::string_view target, size_t segments, Arena& arena);

// The target to forward, strip_prefix or replace_prefix applied. head.target itself when there is
// nothing to change.
std::string_view rewrite_target(const Route& route, const http::RequestHead& head, Arena& arena);

}  // namespace sluice::route
