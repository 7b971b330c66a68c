// Request target: the four forms of RFC 9112 §3.2, and the path that routes and files are found by.
// Pure functions; any thread.
#pragma once

#include <string_view>

#include "proxy/http/framing.h"
#include "proxy/http/message.h"

namespace sluice::http {

// Reads `raw` (the request line's target) into head.target, authority, path, query,
// scheme-independent. Origin-form stays exactly as sent; absolute-form (http, https) is reduced to
// origin-form and its authority replaces Host; "*" only with OPTIONS; CONNECT is refused (405).
// Controls, space, '#', DEL, a backslash in the path and raw bytes above 0x7f are refused.
// head.path stays empty when the path has no normal form. Requires: the fields are parsed; `raw`
// lives as long as the head (in its arena).
HeadResult<void> parse_target(std::string_view raw, RequestHead& head);

// %-decodes once and resolves "." and ".." and empty segments; never climbs above "/". An encoded
// NUL or malformed escape in the path → nullopt (no route can match it; forwarded paths are
// untouched). An encoded slash is kept as "%2F", so that it never becomes a separator. The result
// is in the arena, or `raw_path` itself when nothing had to change.
std::optional<std::string_view> normalize_path(std::string_view raw_path, Arena& arena);

}  // namespace sluice::http
