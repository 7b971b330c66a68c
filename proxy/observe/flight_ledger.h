// FlightLedger: how many requests each worker has in hand, and how many connections that wait for
// one, in memory that outlives the process: a memory file whose descriptor the supervisor holds
// too. After a crash it tells what was lost, so that it can be counted; on a connection that was
// waiting a request may have come that nobody has read. A worker writes its own cache line; nobody
// else does. Made by Metrics, lives as long as it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "proxy/base/fd.h"
#include "proxy/observe/metric_cells.h"

namespace sluice::observe {

class FlightLedger {
 public:
  FlightLedger();
  ~FlightLedger();
  FlightLedger(const FlightLedger&) = delete;
  FlightLedger& operator=(const FlightLedger&) = delete;

  struct alignas(64) Line {
    Gauge requests;
    Gauge waiting;  // clients' connections: new or kept alive
  };
  struct Lost {
    int64_t requests = 0;
    int64_t connections = 0;
  };

  // Workers beyond kMostWorkers share the last place, where additions may be lost.
  Line& of_worker(size_t index);
  // For the supervisor; -1 when there is no such memory and a crash goes uncounted.
  int descriptor() const { return file_.get(); }
  // What the memory of a dead process says.
  static Lost read(int descriptor);

 private:
  static constexpr size_t kMostWorkers = 256;

  Fd file_;
  Line* lines_ = nullptr;  // kMostWorkers of them
};

}  // namespace sluice::observe
