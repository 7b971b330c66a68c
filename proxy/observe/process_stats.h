// ProcessStats: what the kernel says about this process, under the names every Prometheus client
// uses (process_cpu_seconds_total and so on). Read anew at each scrape; a value the kernel hides is
// 0.
#pragma once

#include <cstdint>

namespace sluice::observe {

struct ProcessStats {
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since 1970
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_descriptors = 0;
  uint64_t most_descriptors = 0;
  uint64_t threads = 0;

  static ProcessStats read();
};

}  // namespace sluice::observe
