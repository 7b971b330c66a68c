// Worker: one thread, one loop, its share of every listener, and all the sessions it accepted.
// Shares nothing on the hot path. Made and owned by the control thread, which gives it orders (any
// thread may); they are carried out on the worker's loop, in order.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proxy/exchange/services.h"
#include "proxy/server/tls_stock.h"
#include "proxy/server/worker_listener.h"

namespace sluice::server {

// What the control thread lends to all workers; outlives them.
struct Shared {
  exchange::SpillBudget& spill;
  observe::ProcessLog& log;
  const exchange::Readiness& readiness;
  ConnectionBudget& connections;
  exchange::ClientTable& clients;
  exchange::FlightCeiling& in_flight;
  uint64_t memory_ceiling = 0;  // of each worker
};

// One listener of a configuration, for a worker to take part in.
struct ListenerOrder {
  std::shared_ptr<ListenerShared> shared;
  config::Listener config;
  std::shared_ptr<const net::TlsContext> tls;  // null: plain
};

// Each order gets the context of its listener.
void furnish(std::vector<ListenerOrder>& orders, const TlsStock::Items& secured);

class Worker final : private WorkerListenerOwner,
                     private exchange::MemoryShedder,
                     private event::TimerEvents {
 public:
  static Result<std::unique_ptr<Worker>> make(const Shared& shared, observe::WorkerMetrics& metrics,
                                              observe::AccessLogQueue& log_queue);
  ~Worker();

  void start(size_t index);  // the thread
  void join();

  // -- orders; `done` runs on the worker's thread when it was carried out --
  // The new configuration. Listeners that are no longer named announce their end and go on
  // accepting until let_go(); named again before that, they stay.
  void install(std::shared_ptr<const exchange::Snapshot> snapshot,
               std::vector<ListenerOrder> listeners, std::function<void()> done);
  // Certificates or keys were read again; connections there are keep what they began with.
  void renew_tls(std::shared_ptr<ListenerShared> listener,
                 std::shared_ptr<const net::TlsContext> tls);
  void let_go(std::shared_ptr<ListenerShared> listener, std::function<void()> done);
  // An upstream has other endpoints, or they have other weights.
  void redefine(const upstream::Definition& definition, std::function<void()> done);
  void announce_drain(bool draining);
  void accept_queues();
  void stop_accepting(std::function<void()> done);
  // DESIGN, law 1: a successor accepts from the listeners of these names now. We accept no more; it
  // gets who is idle. The others are let go as if a reload had dropped them. Requires: the line
  // outlives the worker's thread.
  void hand_over(std::shared_ptr<const std::vector<std::string>> names, const Channel& line,
                 std::function<void()> done);
  // One that our predecessor gives us.
  void adopt(std::shared_ptr<ListenerShared> listener, Fd fd, const net::IpPort& client,
             uint32_t requests, std::string_view proxied);
  void end_tunnels(Duration budget);
  void close_idle();
  void close_all(std::string_view reason, std::function<void()> done);  // static text
  void stop();

  // Any thread: connections of this worker.
  size_t sessions() const { return sessions_.load(std::memory_order_relaxed); }

 private:
  Worker(const Shared& shared, std::unique_ptr<event::Loop> loop, observe::WorkerMetrics& metrics,
         observe::AccessLogQueue& log_queue);

  const std::shared_ptr<const exchange::Generation>& generation() const override {
    return generation_;
  }
  bool is_draining() const override { return draining_; }
  void on_listener_empty() override;
  void shed(uint64_t bytes) override;
  void on_timer(event::Timer& timer) override;
  void take_listeners(const std::vector<ListenerOrder>& orders);
  std::unique_ptr<WorkerListener> take_listener(const ListenerShared& shared);
  void leave(std::unique_ptr<WorkerListener> listener);
  Duration tunnel_budget() const;
  void forget_retired();

  const std::unique_ptr<event::Loop> loop_;
  observe::WorkerObserver observer_;
  observe::ProcessLog& log_;
  ConnectionBudget& connections_;
  exchange::MemoryGuard memory_;
  const exchange::Services services_;
  std::shared_ptr<const exchange::Generation> generation_;
  bool draining_ = false;
  std::vector<std::unique_ptr<WorkerListener>> listeners_;
  // No longer in the configuration: until let_go(), and until their last session ends.
  std::vector<std::unique_ptr<WorkerListener>> retired_;
  std::atomic<size_t> sessions_{0};  // written by the worker, twice a second
  event::Timer beat_;
  std::thread thread_;
};

}  // namespace sluice::server
