// SRV replies, read from the wire: c-ares leaves the time to live out of what it parses. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <span>

#include "proxy/net/names.h"

namespace sluice::net {

// Sorted by priority, target, port; at most kMostServices. A name that is no host name, or anything
// that does not fit together, makes the whole reply kMalformed.
Result<ServiceAnswer> parse_srv_reply(std::span<const uint8_t> reply);

}  // namespace sluice::net
