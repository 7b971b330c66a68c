#include "proxy/event/loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <event2/event.h>

#include "proxy/base/assert.h"
#include "proxy/event/soon.h"

namespace sluice::event {
namespace {

constexpr Duration kLongestWait = std::chrono::hours(1);

timeval to_timeval(Duration d) {
  const auto us = std::chrono::ceil<std::chrono::microseconds>(d).count();
  return timeval{us / 1000000, us % 1000000};
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::make() {
  event_config* config = event_config_new();
  SLUICE_ASSERT(config != nullptr);
  // One thread only, and no epoll changelist: a descriptor is registered once and never modified.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
  event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
  event_base* base = event_base_new_with_config(config);
  event_config_free(config);
  if (base == nullptr) return fail_errno(errno, Side::kUs, "create event loop");
  auto loop = std::unique_ptr<Loop>(new Loop(base));
  loop->wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (loop->wake_fd_ < 0) return fail_errno(errno, Side::kUs, "eventfd");
  auto watched =
      loop->wake_watcher_.start(*loop, loop->wake_fd_, *loop, IoWatcher::Interest::kRead);
  if (!watched) return tl::unexpected(watched.error());
  return loop;
}

Loop::Loop(event_base* base) : base_(base), timers_(steady_now()) {
  // libevent's clock is a coarse one, so this may come some ms before turn_at_: it is armed again
  // then.
  event_assign(
      &turn_, base_, -1, 0,
      [](evutil_socket_t, short, void* armed_for) {
        *static_cast<TimePoint*>(armed_for) = TimePoint::max();
      },
      &turn_at_);
}

Loop::~Loop() {
  end_tick();
  wake_watcher_.stop();
  event_del_noblock(&turn_);
  if (wake_fd_ >= 0) ::close(wake_fd_);
  event_base_free(base_);
}

// Re-armed only when the wheel needs an earlier turn: deadlines that keep moving later (the usual
// case: each request moves its connection's) cost nothing here.
void Loop::arm_turn() {
  const TimePoint next = timers_.next_turn();
  const TimePoint now = timers_.now();
  if (next >= turn_at_ || next == TimePoint::max()) return;
  const timeval wait = to_timeval(std::clamp(next - now, Duration{0}, kLongestWait));
  event_add(&turn_, &wait);
  turn_at_ = next;
}

void Loop::run() {
  while (!stopping_) {
    arm_turn();
    event_base_loop(base_, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    begin_round();
    timers_.advance(timers_.now());
    end_tick();
    fresh_ = false;
  }
}

void Loop::stop() {
  post([this] { stopping_ = true; });
}

void Loop::run_leftovers() {
  run_posted();
  end_tick();
}

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    if (posted_.size() > 1) return;  // already woken
  }
  const uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_fd_, &one, sizeof one);
}

void Loop::on_io(IoReady) {
  uint64_t count = 0;
  [[maybe_unused]] const auto n = ::read(wake_fd_, &count, sizeof count);
  run_posted();
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (auto& item : work) item();
}

void Loop::end_tick() {
  while (soon_ != nullptr || !doomed_.empty()) {
    while (soon_ != nullptr) {
      SoonEvents& events = soon_->events_;
      soon_->cancel();
      events.on_soon();
    }
    dying_.swap(doomed_);
    dying_.clear();  // whose end dooms others adds them to doomed_
  }
}

}  // namespace sluice::event
