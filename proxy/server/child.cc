#include "proxy/server/child.h"

#include <sys/wait.h>

#include <cstring>

namespace sluice::server {
namespace {

std::string signal_name(int number) {
  const char* const name = ::sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : std::string("SIG") + name;
}

}  // namespace

std::string end_of(int status) {
  if (WIFSIGNALED(status)) return "killed by " + signal_name(WTERMSIG(status));
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

std::string label_of(int status) {
  if (WIFSIGNALED(status)) return signal_name(WTERMSIG(status));
  return "exit_" + std::to_string(WEXITSTATUS(status));
}

}  // namespace sluice::server
