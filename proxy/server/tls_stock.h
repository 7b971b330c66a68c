// TlsStock: how each listener speaks TLS: contexts, and what outlives them over reloads: the keys
// of session tickets, certificates made by ourselves. Reads the files again when they change; what
// cannot be used is told, and what was there stays. Owned by the process; control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/net/tls_context.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/config_watch.h"

namespace sluice::server {

class TlsStock final : private ConfigWatchEvents, private event::TimerEvents {
 public:
  using Context = std::shared_ptr<const net::TlsContext>;
  using KeyLog = std::shared_ptr<const Fd>;
  // One listener's.
  struct Item {
    std::string listener;  // its address, as configured
    std::string key;       // of faults: "listeners[0].tls"
    config::Tls config;
    bool has_h2 = true;  // offered by ALPN
    std::shared_ptr<net::TicketKeys> tickets;
    net::TicketKeys::Keys shared_keys;  // of a file; to be set when all is well
    std::shared_ptr<const net::TlsCertificate> self_signed;
    Context context;
  };
  using Items = std::vector<Item>;
  // There is another context for this listener.
  using Renewed = std::function<void(const std::string& listener, const Context& context)>;

  // Requires: all outlive this.
  TlsStock(event::Loop& loop, observe::ProcessLog& log, observe::Metrics& metrics, KeyLog key_log,
           Renewed renewed);

  // Lines of secrets go there, for whoever looks into what was recorded (SSLKEYLOGFILE).
  static Result<KeyLog> open_key_log(const std::string& path);
  // What can be read is well, or says in `faults` why it is not. Nothing is kept.
  static void check(const std::vector<config::Listener>& listeners, config::Faults& faults);

  // The same for listeners that are to come; all of it is read again.
  Items prepare(const std::vector<config::Listener>& listeners, config::Faults& faults) const;
  // These are in force now. Requires: prepared without a fault.
  void adopt(Items&& items);

 private:
  static Items read(const std::vector<config::Listener>& listeners, const Items& before,
                    const KeyLog& key_log, config::Faults& faults);
  static void read_one(Item& item, const KeyLog& key_log, config::Faults& faults);
  void on_config_changed() override;
  void on_timer(event::Timer& timer) override;
  void renew(Item& item);
  void watch();
  void rotate();
  void tell_expiries();

  observe::ProcessLog& log_;
  observe::Metrics& metrics_;
  const KeyLog key_log_;
  const Renewed renewed_;
  Items items_;  // bounded by the listeners
  uint64_t renewals_ = 0;
  uint64_t failed_renewals_ = 0;
  ConfigWatch watch_;
  event::Timer rotation_;
};

}  // namespace sluice::server
