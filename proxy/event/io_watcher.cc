#include "proxy/event/io_watcher.h"

#include <cerrno>

#include "proxy/event/loop.h"

namespace sluice::event {

Status IoWatcher::start(Loop& loop, int fd, IoEvents& events, Interest interest) {
  auto what = static_cast<short>(EV_READ | EV_CLOSED | EV_ET | EV_PERSIST);
  if (interest == Interest::kReadWrite) what = static_cast<short>(what | EV_WRITE);
  return add(loop, fd, events, what);
}

Status IoWatcher::start_level(Loop& loop, int fd, IoEvents& events, Interest interest) {
  auto what = static_cast<short>(EV_READ | EV_PERSIST);
  if (interest == Interest::kReadWrite) what = static_cast<short>(what | EV_WRITE);
  return add(loop, fd, events, what);
}

Status IoWatcher::add(Loop& loop, int fd, IoEvents& events, short what) {
  stop();
  if (event_assign(&event_, loop.base(), fd, what, &IoWatcher::trampoline, this) != 0 ||
      event_add(&event_, nullptr) != 0) {
    return fail_errno(errno, Side::kUs, "watch descriptor");
  }
  loop_ = &loop;
  events_ = &events;
  return {};
}

void IoWatcher::stop() {
  if (events_ == nullptr) return;
  event_del_noblock(&event_);
  events_ = nullptr;
}

void IoWatcher::trampoline(evutil_socket_t, short what, void* self) noexcept {
  auto* watcher = static_cast<IoWatcher*>(self);
  if (watcher->events_ == nullptr) return;
  Loop& loop = *watcher->loop_;
  loop.begin_round();
  watcher->events_->on_io(
      IoReady{(what & EV_READ) != 0, (what & EV_WRITE) != 0, (what & EV_CLOSED) != 0});
  loop.end_tick();  // the watcher may be gone by now
}

}  // namespace sluice::event
