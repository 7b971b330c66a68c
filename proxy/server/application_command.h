// ApplicationCommand: what the command line of a WSGI server says of it, with that server's own
// defaults where it says nothing. For `sluice doctor`: a command that reads its options from a file
// or runs through a shell is recognised as far as it goes. Pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/clock.h"

namespace sluice::server {

struct ApplicationCommand {
  enum class Server : uint8_t { kGunicorn, kUwsgi };
  Server server = Server::kGunicorn;
  bool has_options_elsewhere = false;  // --ini, -c: a file may say otherwise
  bool shell_keeps_pid = false;        // run by a shell without exec: the signal ends there
  uint32_t workers = 1;
  uint32_t threads = 1;
  bool keeps_alive = false;  // a worker class that does
  Duration keep_alive{};     // how long
  Duration timeout{};        // of one request, by the server itself; 0: none
  Duration graceful{};       // for running requests at its stop; 0: without a limit
  uint32_t backlog = 0;
  bool dies_on_term = true;
  uint32_t block_size = 0;  // uWSGI: the most a request's head may be; 0: does not apply
};

// nullopt: no server that is known.
std::optional<ApplicationCommand> read_application_command(const std::vector<std::string>& words);

}  // namespace sluice::server
