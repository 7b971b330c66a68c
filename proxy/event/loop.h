// Loop: one thread's event loop (libevent underneath): readiness, timers, work from other threads,
// and deletion at the end of the tick. Owned by the thread that runs it; only post() and stop() may
// be called from elsewhere. One epoll registration per descriptor, edge-triggered, for its whole
// life.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/event/io_watcher.h"
#include "proxy/event/timers.h"

struct event_base;

namespace sluice::event {

// Base of whatever may have to outlive the stack frame that ends it (see Loop::defer_delete).
class Deferred {
 public:
  virtual ~Deferred() = default;
};

class Soon;

class Loop final : private IoEvents {
 public:
  static Result<std::unique_ptr<Loop>> make();
  ~Loop();

  // Runs until stop(). The clock is read once per round.
  void run();
  void stop();  // any thread
  // After run(): carries out what was posted or deferred since, so that nothing is left behind.
  void run_leftovers();

  Timers& timers() { return timers_; }
  TimePoint now() const { return timers_.now(); }
  event_base* base() { return base_; }
  // After each news, when nothing of ours is on the stack: what waits for the end of the tick.
  // Right away and not once a round, so that a request's memory is still in the cache for the next.
  void end_tick();
  // Called before the first news of a round: refreshes now().
  void begin_round() {
    if (fresh_) return;
    fresh_ = true;
    timers_.set_now(steady_now());
  }

  // Runs `work` on this loop's thread, in order, on a later tick. Any thread.
  void post(std::function<void()> work);
  // Deletes at the end of this tick: for objects that are still on the stack.
  void defer_delete(std::unique_ptr<Deferred> doomed) { doomed_.push_back(std::move(doomed)); }

 private:
  explicit Loop(event_base* base);
  friend class event::Soon;
  void on_io(IoReady ready) override;
  void run_posted();
  void arm_turn();

  event_base* const base_;
  Timers timers_;
  struct event turn_;                     // wakes the loop for the wheel's next turn
  TimePoint turn_at_ = TimePoint::max();  // when turn_ is due; max: not armed
  bool stopping_ = false;
  bool fresh_ = false;  // now() was read in this round
  int wake_fd_ = -1;    // eventfd; owned
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  Soon* soon_ = nullptr;                       // in the order they were scheduled
  Soon** soon_tail_ = &soon_;
  std::vector<std::unique_ptr<Deferred>> doomed_;
  std::vector<std::unique_ptr<Deferred>> dying_;  // empty but for its room, and while it is emptied
  IoWatcher wake_watcher_;
};

}  // namespace sluice::event
