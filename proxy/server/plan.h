// Plan: what a reload to another configuration would do, in lines a person reads before giving the
// order: each change, whom it touches, and what only a restart would bring. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "proxy/config/diff.h"

namespace sluice::server {

// `status` is what GET /status said, for the numbers; empty: unknown.
//
//   listeners
//     + 0.0.0.0:8081                                 opened before anything else changes
//     - 0.0.0.0:8080                                 12 connections drain
//   upstreams
//     ~ django hold.timeout: 20s -> 30s
//   3 changes, 1 of them needs a restart
std::string plan_text(const std::vector<config::Change>& changes, const std::string& status);

// Whether a reload cannot bring this change about.
bool needs_restart(const config::Change& change);

}  // namespace sluice::server
