// ListenerSet: the listening sockets of the process, by address. A reload keeps those that stay
// (never a second bind, DESIGN law 1), opens new ones before anything changes, and leaves the
// others to Departures; one that is named again on its way out comes back. Control thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/observe/metrics.h"
#include "proxy/server/departures.h"
#include "proxy/server/socket_stock.h"
#include "proxy/server/worker.h"

namespace sluice::server {

class ListenerSet {
 public:
  // Requires: all outlive the sockets.
  ListenerSet(observe::Metrics& metrics, SocketStock& sockets, Departures& departures)
      : metrics_(metrics), sockets_(sockets), departures_(departures) {}

  // See net::ListenSocket; of all that are adopted from now on. 0: the kernel's own.
  void limit_unsent(uint32_t bytes) { unsent_ = bytes; }

  // The orders for a configuration; new sockets are open and bound, the set itself is as before.
  // Errors name every address that could not be had.
  Result<std::vector<ListenerOrder>> prepare(const std::vector<config::Listener>& wanted) const;
  // Nothing comes of them: what was opened for them is as if it had never been.
  void discard(const std::vector<ListenerOrder>& orders) const;
  // The prepared ones are the set now. Those that are no longer in it are on their way out.
  void adopt(const std::vector<ListenerOrder>& orders);

  // DESIGN, law 2: new SYNs are dropped from now on; unix sockets refuse when the queues are to be
  // emptied for the last time; then all are closed. Requires: every worker has let go.
  void hold_new_connections(observe::ProcessLog& log);
  void refuse_new_connections();
  void close();
  // Of the connections that came lately, over all listeners.
  Duration slowest_round_trip() const;
  // "127.0.0.1:41234", as bound.
  std::vector<std::string> addresses() const;
  const std::vector<std::shared_ptr<ListenerShared>>& all() const { return listeners_; }
  Departures& departures() { return departures_; }

 private:
  std::shared_ptr<ListenerShared> find(const std::string& name) const;

  observe::Metrics& metrics_;
  SocketStock& sockets_;
  std::vector<std::shared_ptr<ListenerShared>> listeners_;
  Departures& departures_;
  uint32_t unsent_ = 0;
};

}  // namespace sluice::server
