// Turnstile: how the workers of one upstream hear of each other: that a place under max_in_flight
// is free, and that an endpoint has changed. Shared by all workers' clusters of that name; made by
// the control thread. A worker with requests in its queue says so; a worker that gives a permit
// back wakes one of them. What all have to know wakes all.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace sluice::upstream {

class Turnstile {
 public:
  // `wake` posts to the worker's loop; any thread may call it. Returns the worker's place.
  size_t join(std::function<void()> wake);
  // Requires: the place is not used afterwards.
  void leave(size_t place);
  void set_waiting(size_t place, bool waiting);
  // Called by the worker at `place` after it gave back a permit: wakes the next other one that
  // waits.
  void pass_on(size_t place);
  // An endpoint's state, or what else all clusters look at, has changed. Any thread.
  void wake_all();

 private:
  struct Seat {
    std::function<void()> wake;
    bool waiting = false;
  };
  std::atomic<uint32_t> waiting_{0};  // so that nobody locks while nobody waits
  std::mutex mutex_;
  std::vector<Seat> seats_;  // guarded by mutex_
  size_t next_ = 0;          // guarded by mutex_
};

}  // namespace sluice::upstream
