// FlightLedger: how many requests each worker has in hand, in memory that outlives the process: a
// memory file whose descriptor the supervisor holds too. After a crash it tells how many were lost,
// so that they can be counted. A worker writes its own cache line; nobody else does. Made by
// Metrics, lives as long as it.
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

  // Workers beyond kMostWorkers share the last place, where additions may be lost.
  Gauge& of_worker(size_t index);
  // For the supervisor; -1 when there is no such memory and a crash goes uncounted.
  int descriptor() const { return file_.get(); }
  // What the memory of a dead process says.
  static int64_t read(int descriptor);

 private:
  static constexpr size_t kMostWorkers = 256;
  struct alignas(64) Line {
    Gauge in_flight;
  };

  Fd file_;
  Line* lines_ = nullptr;  // kMostWorkers of them
};

}  // namespace sluice::observe
