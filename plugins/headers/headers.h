// headers: fields set, added, removed or given a default, in requests and answers.
//
//   headers:
//     request:
//       remove:  [ X-Debug ]                         # first these go,
//       set:     { X-Tenant: "acme" }                # then these replace all of their name,
//       add:     { X-Seen-By: "$host" }              # these come on top (a value or a list),
//       default: { Accept-Language: en }             # and these only where there is none
//     response:
//       set:     { X-Frame-Options: DENY }
//
// In values: $host (without port), $client_address, $request_id, $scheme, $path (encoded, as it is
// forwarded), and $$ for a dollar. Names of one hop and of framing are refused, and so are values
// that would break a line: all when the configuration is read.
#pragma once

#include <memory>

#include "proxy/config/node.h"
#include "proxy/filter/filter.h"

namespace sluice::plugins {

std::unique_ptr<filter::FilterFactory> make_headers(const config::Node& settings,
                                                    config::Faults& faults);

}  // namespace sluice::plugins
