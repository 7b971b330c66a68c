// MIME types by file name extension: what the web serves, built in. Pure functions; any thread.
#pragma once

#include <string_view>

namespace sluice::http {

// After the last dot of the last segment, as written; empty when there is none ("a/.profile" has
// none).
std::string_view extension_of(std::string_view file_name);

// With charset=utf-8 for text; empty when unknown. The extension's case is ignored.
std::string_view mime_type_of(std::string_view extension);

constexpr std::string_view kDefaultMimeType = "application/octet-stream";

// Whether compressing such content is worth the while: text and what is like it, not what is
// packed.
bool is_compressible(std::string_view mime_type);

}  // namespace sluice::http
