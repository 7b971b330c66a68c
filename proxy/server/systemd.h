// The service manager's two protocols, without its library: sd_notify(3) (a datagram to
// NOTIFY_SOCKET says ready, reloading, stopping, alive) and socket activation (sd_listen_fds(3):
// listening sockets from descriptor 3 on). Read by the process that was started, once, before any
// thread: the supervisor, or the serving process where there is none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/fd.h"
#include "proxy/server/supervisor_protocol.h"

namespace sluice::server {

class ServiceManager {
 public:
  // Takes its variables out of the environment: they are for this process only.
  static ServiceManager from_environment();

  // kAccepting, kReloading, kReady, kStopping, kAlive; no other word means anything to it. Never
  // blocks.
  void say(const Message& message) const;
  // How often it wants to hear kAlive; 0: never.
  Duration watchdog() const { return watchdog_; }

 private:
  std::string socket_;  // "/path", or "@name" in the abstract name space; "": none
  Duration watchdog_{0};
};

struct PassedSocket {
  std::string name;  // of the socket unit, or "unknown"
  Fd fd;
};
// The same.
std::vector<PassedSocket> take_passed_sockets();

}  // namespace sluice::server
