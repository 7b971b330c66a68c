// ListenerSet: the listening sockets of the process, by address. A reload keeps those that stay
// (never a second bind, DESIGN law 1), opens new ones before anything changes, and drops the others
// only after the workers have let them go. Control thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/observe/metrics.h"
#include "proxy/server/socket_stock.h"
#include "proxy/server/worker.h"

namespace sluice::server {

class ListenerSet {
 public:
  // Requires: both outlive the sockets.
  ListenerSet(observe::Metrics& metrics, SocketStock& sockets)
      : metrics_(metrics), sockets_(sockets) {}

  // The orders for a configuration; new sockets are open and bound, the set itself is as before.
  // Errors name every address that could not be had.
  Result<std::vector<ListenerOrder>> prepare(const std::vector<config::Listener>& wanted) const;
  // The prepared ones are the set now. Returns those that are no longer in it: to be closed when
  // the workers have let go.
  std::vector<std::shared_ptr<ListenerShared>> adopt(const std::vector<ListenerOrder>& orders);

  // DESIGN, law 2: new SYNs are dropped from now on.
  void hold_new_connections(observe::ProcessLog& log);
  // "127.0.0.1:41234", as bound.
  std::vector<std::string> addresses() const;
  const std::vector<std::shared_ptr<ListenerShared>>& all() const { return listeners_; }
  void clear() { listeners_.clear(); }

 private:
  std::shared_ptr<ListenerShared> find(const std::string& name) const;

  observe::Metrics& metrics_;
  SocketStock& sockets_;
  std::vector<std::shared_ptr<ListenerShared>> listeners_;
};

}  // namespace sluice::server
