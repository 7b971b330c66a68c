// FastCGI params: a request head becomes the records that begin a request: BEGIN_REQUEST in the
// role of a responder, then PARAMS, the CGI variables with those that name a script. Pure
// functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/chain.h"
#include "proxy/base/result.h"
#include "proxy/config/upstream.h"
#include "proxy/http/message.h"

namespace sluice::http {

struct FastcgiScript {
  std::string name;       // SCRIPT_NAME, below the root; "": the application is the script
  std::string_view rest;  // PATH_INFO, of the path
};

// Which script a path means: as far as the first segment that ends with settings.split, else the
// index. Requires: path is normal (http/target.h), so that no script is outside of the root.
FastcgiScript find_script(std::string_view path, const config::Fastcgi& settings);

// A variable never goes over the end of a record: php-fpm reads each record by itself.
// Faults: kTooLarge when a single variable does not fit a record, kMalformed when the path holds a
// NUL or a broken escape; both are the client's.
// Requires: head.body is not unknown.
Status write_fastcgi_begin(const RequestHead& head, const config::Fastcgi& settings, Chain& out);

}  // namespace sluice::http
