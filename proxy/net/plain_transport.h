// PlainTransport: bytes over a TCP or unix socket as they are. Owns the descriptor; registered with
// the loop once, at birth. See transport.h for the contract.
#pragma once

#include "proxy/base/fd.h"
#include "proxy/base/recycled.h"
#include "proxy/event/loop.h"
#include "proxy/net/transport.h"

namespace sluice::net {

class PlainTransport final : public Transport,
                             public Recycled<PlainTransport>,
                             private event::IoEvents {
 public:
  // Takes a connected (or connecting) non-blocking socket. Requires: set_events() before this tick
  // ends; no news comes earlier.
  static Result<std::unique_ptr<PlainTransport>> make(event::Loop& loop, Fd fd);

  void set_events(TransportEvents& events) override { events_ = &events; }
  Io read(char* into, size_t room) override;
  Io write(Chain& bytes) override;
  void shutdown_write() override;
  bool may_be_readable() const override { return unread_ == Unread::kSome; }
  int descriptor() const override { return fd_.get(); }
  bool is_reset() override;
  // on_writable() comes although no write was blocked: for a connect that is under way.
  void expect_writable() { write_blocked_ = true; }

 private:
  // What the next read may find. kDoubtful: nothing, but for a reset that may hide behind the bytes
  // that were read.
  enum class Unread : uint8_t { kNone, kDoubtful, kSome };

  explicit PlainTransport(Fd fd) : fd_(std::move(fd)) {}
  void on_io(event::IoReady ready) override;
  Io write_memory(Chain& bytes);
  Io write_file(Chain& bytes);

  Fd fd_;
  TransportEvents* events_ = nullptr;
  Unread unread_ = Unread::kNone;
  bool ended_ = false;    // a FIN may be queued behind the bytes: a short read proves nothing
  bool doubted_ = false;  // the last news may have been of a reset, too
  bool write_blocked_ = false;
  event::IoWatcher watcher_;  // last: no news reaches a half-dead transport
};

}  // namespace sluice::net
