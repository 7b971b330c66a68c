// Affinity: what makes requests of one client, session or key go to the same endpoint: the key of
// ring_hash, and the sticky cookie. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/config/upstream.h"
#include "proxy/http/message.h"

namespace sluice::exchange {

// Of the header, the cookie or the believed client address `by` names, the same in every task;
// nullopt: the request has none.
std::optional<uint64_t> hash_key(const config::HashKey& by, const http::RequestHead& request,
                                 std::string_view client);

// The first cookie of that name (RFC 6265 §4.2); empty: there is none.
std::string_view cookie_of(const http::Headers& headers, std::string_view name);

// What the sticky cookie says of an endpoint: 16 hex digits that tell nothing of its address.
std::string sticky_value(std::string_view upstream, std::string_view endpoint);
// The value of Set-Cookie. `secure`: the client came by https.
std::string sticky_cookie(const config::Sticky& config, std::string_view value, bool secure);

}  // namespace sluice::exchange
