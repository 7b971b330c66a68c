// Route: one entry of the configuration, made ready: what matched, and the parts its action needs.
// Owned by the Table, const, shared by all workers, as old as the Snapshot.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/config/config.h"
#include "proxy/http/message.h"
#include "proxy/route/redirect.h"
#include "proxy/route/static_files.h"

namespace sluice::route {

struct Route {
  // Requires: `configured` outlives this.
  Route(const config::Route& configured, size_t index);

  const config::Route& config;
  const size_t id;                           // its place in the configuration's list
  const std::string replacement;             // replace_prefix, %-encoded
  std::unique_ptr<const StaticFiles> files;  // with Action::kStatic
  Redirect redirect;                         // with Action::kRedirect

  // What follows the matched prefix in a decoded path: "" or "/...". An exact path leaves its last
  // segment (so that root + /robots.txt is the file), a regular expression the whole path.
  std::string_view rest_of(std::string_view path) const;
  // How many segments of `path` are the route's own; all of them when not matched by prefix.
  size_t matched_segments(std::string_view path) const;
  // nullopt: it needs a host, and the request has none (400).
  std::optional<std::string_view> redirect_location(const http::RequestHead& head,
                                                    Arena& arena) const;
};

}  // namespace sluice::route
