// IoWatcher: one descriptor's readiness, edge-triggered, registered once for reading, writing and
// the other side's FIN (EPOLLRDHUP). A handle: destroying it unregisters. It does not own the
// descriptor, which must stay open while watched. Loop's thread only.
//
// Edge-triggered means: after a notice, read (write) until it would block. A short read means
// drained, unless `ended` was set with it: then a FIN may already have come and its edge is spent.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include "proxy/base/result.h"

namespace sluice::event {

class Loop;

struct IoReady {
  bool readable = false;
  bool writable = false;
  bool ended = false;  // FIN, RST or error: the read that follows says which
};

class IoEvents {
 public:
  virtual void on_io(IoReady ready) = 0;

 protected:
  ~IoEvents() = default;
};

class IoWatcher {
 public:
  IoWatcher() = default;
  IoWatcher(const IoWatcher&) = delete;
  IoWatcher& operator=(const IoWatcher&) = delete;
  ~IoWatcher() { stop(); }

  enum class Interest { kReadWrite, kRead };
  Status start(Loop& loop, int fd, IoEvents& events, Interest interest = Interest::kReadWrite);
  // Level-triggered: for descriptors that are not read until they would block.
  Status start_level(Loop& loop, int fd, IoEvents& events, Interest interest = Interest::kRead);
  void stop();
  bool is_started() const { return events_ != nullptr; }
  // The news goes to somebody else from now on (a connection that passes from pool to borrower).
  void redirect(IoEvents& events) { events_ = &events; }

 private:
  Status add(Loop& loop, int fd, IoEvents& events, short what);
  static void trampoline(evutil_socket_t fd, short what, void* self) noexcept;

  Loop* loop_ = nullptr;
  IoEvents* events_ = nullptr;
  struct event event_;
};

}  // namespace sluice::event
