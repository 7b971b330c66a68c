// ip_access: who may come in, by the client's address as trusted_proxies let it be believed. The
// others get 403.
//
//   ip_access: { allow: [10.0.0.0/8, "2001:db8::/32"] }       # nobody else
//   ip_access: { deny: [203.0.113.7] }                        # everybody else
//   ip_access: { rules: [ { deny: 10.9.0.0/16 }, { allow: 10.0.0.0/8 }, { deny: all } ] }
//
// The first rule that fits decides; `deny:` and `allow:` are a short form in which all denials come
// first. Whom no rule fits is refused when there is any `allow`, else let in. A client on a unix
// socket has no address: only `all` fits it.
#pragma once

#include <memory>

#include "proxy/config/node.h"
#include "proxy/filter/filter.h"

namespace sluice::plugins {

std::unique_ptr<filter::FilterFactory> make_ip_access(const config::Node& settings,
                                                      config::Faults& faults);

}  // namespace sluice::plugins
