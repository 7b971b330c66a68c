// ControlClient: asks a running sluice over its admin socket, or its health over TCP. Blocking,
// with a deadline; used by the subcommands, never by the serving process.
#pragma once

#include <string>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/config.h"

namespace sluice::server {

struct ControlAnswerText {
  int status = 0;
  std::string body;
};

Result<ControlAnswerText> ask(const config::Address& address, std::string_view method,
                              std::string_view path, Duration timeout);

}  // namespace sluice::server
