// EndpointOrders: what the admin socket is told to do with endpoints, and what it shows of them.
//   POST /upstreams/NAME/endpoints/add?address=10.0.0.7:8000[&weight=3][&priority=1 | &backup=true]
//   POST /upstreams/NAME/endpoints/remove|drain|undrain?address=…
//   POST /upstreams/NAME/endpoints/weight?address=…&weight=…
// An order is carried out before it is answered; the workers have it within milliseconds. Control
// thread.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "proxy/observe/metrics.h"
#include "proxy/server/control_server.h"
#include "proxy/upstream/directory.h"

namespace sluice::server {

// 200 with what was done, 404 (no such upstream, endpoint, order), 422 with what is wrong.
// Requires: target begins with "/upstreams/".
ControlReply order_endpoints(upstream::Directory& directory, std::string_view target);

// For GET /status: [{ name, protocol, endpoints: [{ address, state, … }], names: [{ name, … }] }].
nlohmann::json describe_upstreams(const upstream::Directory& directory,
                                  const observe::Metrics& metrics);

}  // namespace sluice::server
