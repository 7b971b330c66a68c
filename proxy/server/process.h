// Process: the serving process's control thread: it reads the configuration, opens what it names,
// makes the workers, carries out signals and orders (reload, drain, reopen), answers metrics,
// health and status, and ends when the drain is over. Everything slow happens here. Lives in main.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/load.h"
#include "proxy/exchange/snapshot.h"
#include "proxy/net/resolver.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/config_source.h"
#include "proxy/server/control_plane.h"
#include "proxy/server/departures.h"
#include "proxy/server/drain.h"
#include "proxy/server/ledger.h"
#include "proxy/server/lifeline.h"
#include "proxy/server/listener_set.h"
#include "proxy/server/readiness_judge.h"
#include "proxy/server/reload_record.h"
#include "proxy/server/signals.h"
#include "proxy/server/succession.h"
#include "proxy/server/task.h"
#include "proxy/server/tls_stock.h"
#include "proxy/server/worker.h"
#include "proxy/upstream/directory.h"
#include "proxy/upstream/lookout.h"

namespace sluice::server {

struct RunOptions {
  std::string config_file;  // empty: the flags
  config::Flags flags;
  std::string ready_file;   // written once accepting; empty: none
  std::string tls_key_log;  // secrets of TLS go there; empty: nowhere
  std::string version;
};

class Process final : private SignalEvents,
                      private event::TimerEvents,
                      private SuccessionOwner,
                      private upstream::DirectoryEvents,
                      private ConfigSourceEvents {
 public:
  // `supervisor`: closed when there is none.
  Process(RunOptions options, const filter::Registry& filters, Channel supervisor);
  ~Process();

  // Serves until a drain is over. 0, 1 (could not start, or the drain's deadline cut a request) or
  // 2 (bad configuration); what is wrong is on stderr.
  int run();

 private:
  using Verdict = std::function<void(bool well, std::string text)>;
  struct WaitingReload {
    std::string_view cause;
    Verdict verdict;
  };

  // -- start --
  int prepare();
  void complain(const std::vector<std::string>& faults) const;
  Status open_observers(const config::Config& config);
  void open_directory(const config::Config& config);
  Status open_tls();
  Status make_workers(const config::Config& config);
  void watch_task(const config::Config& config);
  Status open_controls(const config::Config& config);
  void on_accepting();
  Status write_ready_file() const;

  // -- orders --
  void on_signal(int number) override;
  void on_order(int signal) override;
  void on_orphaned() override;
  void on_succeeded() override;
  Duration drain_deadline() const override { return snapshot_->config->drain.deadline; }
  Duration tunnel_budget() const override { return snapshot_->config->drain.tunnels; }
  void upgrade(const Verdict& verdict);
  void handle_order(std::string_view method, std::string_view path, const ControlAnswer& answer);
  void handle_read(std::string_view method, std::string_view path, const ControlAnswer& answer);
  void reload(std::string_view cause, const Verdict& verdict);
  void reload_waiting();
  void on_source_changed(std::string_view cause, std::function<void(bool)> done) override;
  void take_configuration(const config::Loaded& loaded, std::string_view cause,
                          const Verdict& verdict);
  std::vector<std::string> obstacles(const config::Config& config) const;
  void install(std::shared_ptr<const exchange::Snapshot> next,
               const std::vector<ListenerOrder>& orders, std::string_view cause,
               const Verdict& verdict);
  void on_installed(const std::shared_ptr<const exchange::Snapshot>& next, std::string_view cause,
                    const Verdict& verdict);
  void refuse_reload(std::string_view cause, std::vector<std::string> reasons,
                     const Verdict& verdict);
  Status apply_logs(const config::Config& config);
  void apply_rest(const config::Config& config, ControlPlane::Prepared&& controls);
  void reopen_logs();
  void begin_drain();
  bool cancel_drain();
  void await_drain(const ControlAnswer& answer);
  std::string status() const;

  // -- endpoints --
  void on_definition(const upstream::Definition& definition, std::function<void()> done) override;
  void on_endpoint_named(const std::shared_ptr<upstream::Endpoint>& endpoint,
                         const config::Upstream& upstream) override;
  void on_endpoint_gone(const upstream::Endpoint& endpoint) override;
  void on_endpoint_state(const std::string& upstream, upstream::Endpoint& endpoint,
                         upstream::EndpointState from, upstream::EndpointState to) override;

  // -- end --
  void on_timer(event::Timer& timer) override;
  Drain::Evidence evidence() const;
  void advance_drain();
  void enter_stage(Drain::Stage stage);
  void let_listeners_go();
  Duration time_for_tunnels() const;
  void end_drain();
  Ledger books() const;
  int exit_code() const;
  int shut_down();
  std::string unready_reason() const;

  const RunOptions options_;
  const filter::Registry& filters_;
  const TimePoint began_ = steady_now();
  Lifeline lifeline_;
  SocketStock sockets_{lifeline_.supervisor()};
  // What the workers borrow: outlives them.
  std::unique_ptr<observe::ProcessLog> log_;
  std::unique_ptr<observe::Metrics> metrics_;
  std::unique_ptr<observe::AccessLog> access_log_;
  std::unique_ptr<exchange::SpillBudget> spill_;
  exchange::Readiness readiness_;
  ConnectionBudget connections_;
  std::unique_ptr<exchange::ClientTable> clients_;
  exchange::FlightCeiling in_flight_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<ReloadRecord> reloads_;
  std::unique_ptr<ListenerSet> listeners_;
  std::shared_ptr<const exchange::Snapshot> snapshot_;
  std::vector<std::unique_ptr<Worker>> workers_;
  // The control thread's own.
  std::unique_ptr<event::Loop> loop_;
  ConfigSource source_;
  std::unique_ptr<net::Resolver> resolver_;
  std::unique_ptr<upstream::Lookout> lookout_;
  std::unique_ptr<ReadinessJudge> judge_;
  std::unique_ptr<upstream::Directory> directory_;
  Signals signals_;
  Drain drain_;
  size_t still_accepting_ = 0;                // workers that have not let the listeners go yet
  std::vector<ControlAnswer> drain_waiters_;  // bounded by kMostWaiters
  bool reloading_ = false;
  bool told_to_stop_ = false;           // by the supervisor
  std::vector<WaitingReload> waiting_;  // bounded by kMostWaiting
  std::unique_ptr<TlsStock> tls_;
  std::unique_ptr<Departures> departures_;
  std::unique_ptr<ControlPlane> controls_;
  std::unique_ptr<Succession> succession_;
  std::unique_ptr<event::Timer> drain_beat_;
};

}  // namespace sluice::server
