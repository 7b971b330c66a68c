#include "proxy/observe/flight_ledger.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "proxy/base/assert.h"

namespace sluice::observe {

// Pages that no worker touches cost nothing.
FlightLedger::FlightLedger() {
  constexpr size_t kSize = kMostWorkers * sizeof(Line);
  file_ = Fd(::memfd_create("sluice-ledger", MFD_CLOEXEC));
  if (file_.is_open() && ::ftruncate(file_.get(), kSize) != 0) file_.reset();
  const int flags = file_.is_open() ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* const memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, flags, file_.get(), 0);
  SLUICE_ASSERT(memory != MAP_FAILED);  // out of memory: die
  lines_ = static_cast<Line*>(memory);  // zeros are what the constructor of a Line writes
}

FlightLedger::~FlightLedger() {
  ::munmap(lines_, kMostWorkers * sizeof(Line));
}

FlightLedger::Line& FlightLedger::of_worker(size_t index) {
  return *new (&lines_[std::min(index, kMostWorkers - 1)]) Line;
}

FlightLedger::Lost FlightLedger::read(int descriptor) {
  Lost sum;
  for (size_t i = 0; i < kMostWorkers; ++i) {
    int64_t line[2] = {};
    static_assert(sizeof line == 2 * sizeof(Gauge));
    const auto offset = static_cast<off_t>(i * sizeof(Line));
    if (::pread(descriptor, line, sizeof line, offset) != sizeof line) break;
    sum.requests += line[0];
    sum.connections += line[1];
  }
  // A worker that died in the middle of a change may be one off.
  return {std::max<int64_t>(sum.requests, 0), std::max<int64_t>(sum.connections, 0)};
}

}  // namespace sluice::observe
