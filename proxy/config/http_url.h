// HttpUrl: where something is fetched from over plain HTTP: "http://localhost:2772/applications/a".
// The host is an address or localhost: nothing is looked up. Pure function; any thread. An error's
// detail says what would be right, and never repeats a password.
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/config/values.h"

namespace sluice::config {

struct HttpUrl {
  Address address;        // port 80 where none is written
  std::string authority;  // "localhost:2772", as written: the value of Host (RFC 9110 §7.2)
  std::string target;     // "/applications/a?b=c"; at least "/"
  bool operator==(const HttpUrl&) const = default;
};

Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace sluice::config
