#include "proxy/server/systemd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "proxy/base/text.h"

namespace sluice::server {
namespace {

constexpr int kFirstPassed = 3;  // SD_LISTEN_FDS_START
constexpr uint64_t kMostPassed = 256;

std::string take_variable(const char* name) {
  const char* const value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  ::unsetenv(name);
  return taken;
}

bool is_me(const std::string& pid) {
  return pid == std::to_string(::getpid());
}

std::string words_of(const Message& message) {
  const std::string status(message.text());
  switch (message.word) {
    case Word::kAccepting:
    case Word::kReady: return "READY=1\nSTATUS=" + (status.empty() ? "serving" : status);
    case Word::kReloading: {
      timespec now{};  // sd_notify(3): for Type=notify-reload it has to say when
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      const int64_t us = int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
      return "RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us);
    }
    case Word::kStopping: return "STOPPING=1\nSTATUS=draining";
    case Word::kAlive: return "WATCHDOG=1";
    default: return {};
  }
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  ServiceManager manager;
  manager.socket_ = take_variable("NOTIFY_SOCKET");
  if (!manager.socket_.empty() && manager.socket_[0] != '/' && manager.socket_[0] != '@') {
    manager.socket_.clear();
  }
  const auto interval = parse_decimal(take_variable("WATCHDOG_USEC"));
  const std::string pid = take_variable("WATCHDOG_PID");
  if (interval && (pid.empty() || is_me(pid))) {
    const auto most =
        static_cast<uint64_t>(std::chrono::microseconds(std::chrono::hours(24)).count());
    manager.watchdog_ = std::chrono::microseconds(std::min(*interval, most));
  }
  return manager;
}

void ServiceManager::say(const Message& message) const {
  const std::string text = words_of(message);
  if (socket_.empty() || text.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';  // unix(7), abstract: counted, not terminated
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ::sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
           reinterpret_cast<const sockaddr*>(&address), size);
}

std::vector<PassedSocket> take_passed_sockets() {
  const bool for_me = is_me(take_variable("LISTEN_PID"));
  const auto count = parse_decimal(take_variable("LISTEN_FDS"));
  const std::string all_names = take_variable("LISTEN_FDNAMES");
  std::vector<PassedSocket> passed;
  if (!for_me || !count) return passed;
  const auto names = split(all_names, ':');
  for (uint64_t i = 0; i < std::min(*count, kMostPassed); ++i) {
    const int fd = kFirstPassed + static_cast<int>(i);
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) continue;  // promised and not there
    const bool named = !all_names.empty() && i < names.size();
    passed.push_back({named ? std::string(names[i]) : "unknown", Fd(fd)});
  }
  return passed;
}

}  // namespace sluice::server
