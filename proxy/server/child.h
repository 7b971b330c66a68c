// Child: one serving process as its supervisor sees it, and the words for how it ended. Values of
// the supervisor.
//
//   kStarting -> kServing -> kRetiring      the first one, and after a crash
//   kSuccessor -> kServing                  an upgrade
#pragma once

#include <sys/types.h>

#include <string>

#include "proxy/base/clock.h"
#include "proxy/base/fd.h"
#include "proxy/server/channel.h"

namespace sluice::server {

struct Child {
  enum class State : uint8_t { kStarting, kSuccessor, kServing, kRetiring };

  pid_t pid = -1;
  State state = State::kStarting;
  bool draining = false;  // it said so
  bool silent = false;    // its end of the channel is closed
  Channel channel;
  Fd ledger;               // observe::FlightLedger
  TimePoint accepted;      // when it said so
  std::string complaint;   // kFailed
  std::string last_words;  // why we killed it
};

// "killed by SIGSEGV", "exit code 1"; and shorter, for a label: "SIGSEGV", "exit_1".
std::string end_of(int status);
std::string label_of(int status);

}  // namespace sluice::server
