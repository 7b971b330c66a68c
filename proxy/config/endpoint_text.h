// Endpoints as they are written: "127.0.0.1:8000", "unix:/run/app.sock", "dns://app.internal:8000"
// (every address of the name), "srv://_http._tcp.app.internal" (the records bring ports, weights
// and priorities). Nothing is looked up here. Pure functions; any thread. An error's detail says
// what would be right.
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/config/upstream.h"

namespace sluice::config {

Result<EndpointSource> parse_endpoint(std::string_view text);
// As parse_endpoint() reads it, which is where it stands, without weight and priority.
std::string format_endpoint(const EndpointSource& source);
// Whether both stand for the same address or name.
bool is_same_endpoint(const EndpointSource& a, const EndpointSource& b);

}  // namespace sluice::config
