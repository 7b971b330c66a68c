// Services: what a worker lends to its exchanges. All of it outlives them. Readiness: what the
// health routes answer; set by the control thread, read by all.
#pragma once

#include <atomic>
#include <cstdint>

#include "proxy/event/loop.h"
#include "proxy/exchange/client_table.h"
#include "proxy/exchange/flight_ceiling.h"
#include "proxy/exchange/memory_guard.h"
#include "proxy/exchange/spill.h"
#include "proxy/observe/process_log.h"
#include "proxy/observe/worker_observer.h"

namespace sluice::exchange {

struct Readiness {
  std::atomic<bool> accepting{false};
  std::atomic<bool> draining{false};
  std::atomic<bool> upstreams{true};       // the judge's word (server/readiness_judge)
  mutable std::atomic<bool> asked{false};  // somebody wants to know; taken back by the judge
  bool is_ready() const {
    return accepting.load(std::memory_order_relaxed) && !draining.load(std::memory_order_relaxed) &&
           upstreams.load(std::memory_order_relaxed);
  }
  // For whoever decides by it whether to send traffic: until all have answered, it is found out.
  bool ask() const {
    if (!asked.load(std::memory_order_relaxed)) asked.store(true, std::memory_order_relaxed);
    return is_ready();
  }
};

struct Services {
  event::Loop& loop;
  SpillBudget& spill;
  observe::WorkerObserver& observer;
  observe::ProcessLog& log;
  const Readiness& readiness;
  ClientTable& clients;
  FlightCeiling& in_flight;
  MemoryGuard& memory;
};

}  // namespace sluice::exchange
