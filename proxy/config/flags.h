// Flags: the form without a file: `sluice run --listen :8080 --upstream uwsgi://127.0.0.1:8000
// --static /static/=/vol/static`. The flags become the tree that a file of the same meaning would,
// so that defaults, checks and messages are the same. Routes: /healthz (ready), the statics, and /
// to the upstream.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/config/node.h"

namespace sluice::config {

struct Flags {
  std::vector<std::string> listen;       // ":8080"
  std::string upstream;                  // http:// uwsgi:// and address or name; uwsgi+unix:/a.sock
  std::vector<std::string> statics;      // "/static/=/vol/static"
  std::optional<std::string> metrics;    // metrics.address
  std::optional<std::string> admin;      // admin.socket
};

// What is wrong with a flag is left out of the tree and added to `faults`.
Node tree_of(const Flags& flags, Faults& faults);

}  // namespace sluice::config
