// Precompressed siblings: which of app.js.br, app.js.zst and app.js.gz a client would rather have
// than app.js, by its Accept-Encoding (RFC 9110 §12.5.3). Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "proxy/http/headers.h"

namespace sluice::route {

struct SiblingKind {
  std::string_view suffix;    // ".br"
  std::string_view encoding;  // "br"
};

// The kinds worth looking for, best first: by weight, then by how well they usually pack.
struct SiblingChoice {
  static constexpr size_t kMost = 3;
  std::array<SiblingKind, kMost> kinds{};
  size_t count = 0;
};

// Only those weighing more than 0 and no less than the plain file.
SiblingChoice acceptable_siblings(const http::Headers& request);

}  // namespace sluice::route
