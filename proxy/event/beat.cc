#include "proxy/event/beat.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sluice::event {

Status Beat::set(Duration interval) {
  if (interval == interval_) return {};
  if (!fd_.is_open()) {
    Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!fd.is_open()) return fail_errno(errno, Side::kUs, "timerfd");
    if (const auto started = watcher_.start_level(loop_, fd.get(), *this); !started) return started;
    fd_ = std::move(fd);
  }
  itimerspec every{};
  every.it_interval.tv_sec = interval.count() / 1'000'000'000;
  every.it_interval.tv_nsec = interval.count() % 1'000'000'000;
  every.it_value = every.it_interval;
  if (::timerfd_settime(fd_.get(), 0, &every, nullptr) != 0) {
    return fail_errno(errno, Side::kUs, "timerfd_settime");
  }
  interval_ = interval;
  return {};
}

void Beat::on_io(IoReady) {
  uint64_t beats = 0;  // those that were missed count as one
  if (::read(fd_.get(), &beats, sizeof beats) == sizeof beats) events_.on_beat();
}

}  // namespace sluice::event
