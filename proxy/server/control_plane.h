// ControlPlane: the two control servers, metrics and health over TCP and orders over a unix socket,
// and how a reload changes them: what is new is opened before anything changes; what is replaced
// still says the verdict it owes, then goes. Control thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/config/config.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/control_server.h"
#include "proxy/server/later.h"
#include "proxy/server/socket_stock.h"

namespace sluice::server {

class ControlPlane {
 public:
  // Requires: the stock outlives this.
  ControlPlane(event::Loop& loop, observe::ProcessLog& log, SocketStock& sockets,
               ControlHandler reads, ControlHandler orders);
  ~ControlPlane();  // removes the admin socket's path, unless another process answers there

  // A successor answers nothing before it knows its predecessor's counters: from hold(), before
  // prepare(), to answer().
  void hold() { is_held_ = true; }
  void answer();
  // A successor answers now.
  void retire();

  // Servers for what `config` asks and is not open yet; nothing has changed. An admin socket that
  // cannot be had is no error at the start (a container's root may be read-only): orders come by
  // signal only. One that a reload asks for anew is.
  struct Prepared {
    std::optional<std::unique_ptr<ControlServer>> reads;   // nullopt: stays as it is
    std::optional<std::unique_ptr<ControlServer>> orders;  // the same
    config::Metrics metrics;
    config::Admin admin;
  };
  Result<Prepared> prepare(const config::Config& config) const;
  void adopt(Prepared&& prepared);
  // Nothing comes of them.
  void discard(const Prepared& prepared) const;

  std::string metrics_address() const { return reads_ != nullptr ? reads_->address() : ""; }
  std::string admin_path() const { return orders_ != nullptr ? admin_.socket : ""; }

 private:
  Status start(ControlServer& server) const;
  Result<std::unique_ptr<ControlServer>> open_orders(const std::string& path) const;

  event::Loop& loop_;
  observe::ProcessLog& log_;
  SocketStock& sockets_;
  const ControlHandler read_handler_;
  const ControlHandler order_handler_;
  bool is_held_ = false;
  config::Metrics metrics_;  // as open now
  config::Admin admin_;
  std::unique_ptr<ControlServer> reads_;
  std::unique_ptr<ControlServer> orders_;
  std::unique_ptr<Later> retirement_;  // of the servers before
};

}  // namespace sluice::server
