// Listing: a folder as a small page of links, only where the configuration asks for it. Names are
// data: escaped in the text, %-encoded in the links. Sorted, bounded. The worker's thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/fd.h"

namespace sluice::route {

struct ListingOptions {
  bool hidden = false;         // list dot files
  bool symlinks = false;       // list links (their targets may still be refused)
  size_t most_entries = 1000;  // beyond it the page says so
};

// The page for an open folder; `path` is what the client knows it by, decoded. Empty: not readable.
std::string make_listing(Fd folder, std::string_view path, const ListingOptions& options);

}  // namespace sluice::route
