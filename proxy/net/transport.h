// Transport: a connected byte stream, plain or (later) TLS. Pull: it says readable, the codec takes
// what it has room for. Owned by its codec's connection; dies with it, closing the socket. Loop's
// thread only. News arrives from the loop, never from inside a call. Reads and writes are
// edge-triggered underneath: after kBlocked wait for the news.
#pragma once

#include <cstddef>

#include "proxy/base/chain.h"
#include "proxy/base/result.h"

namespace sluice::net {

struct Io {
  enum class State : uint8_t {
    kOk,       // some bytes moved; more may be possible now
    kBlocked,  // nothing moved now; news will come
    kEnd,      // reading: the other side sent its FIN (close_notify); EPROTO: over TLS it came
               // without one, and what ends with the connection is not whole
    kFailed,   // reset, broken pipe, TLS failure: `error_number` is the errno
  };
  State state = State::kBlocked;
  size_t count = 0;
  int error_number = 0;
};

class TransportEvents {
 public:
  virtual void on_readable() = 0;  // bytes, FIN or a failure: the next read says which
  virtual void on_writable() = 0;  // only after a write was blocked

 protected:
  ~TransportEvents() = default;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Who hears the news. Requires: outlives the transport, or is replaced before it goes.
  virtual void set_events(TransportEvents& events) = 0;

  // At most `room` bytes. One read system call at most; none when the last one drained the socket
  // and no news came since (then kBlocked). Who has not got all it waits for reads until kBlocked:
  // a reset may hide behind the last bytes.
  virtual Io read(char* into, size_t room) = 0;
  // Sends from the front of `bytes` (memory by writev, file ranges by sendfile) until it blocks,
  // and drops what was sent. `count` is what was sent, also with kBlocked or kFailed.
  virtual Io write(Chain& bytes) = 0;
  // FIN after what was written (TLS: close_notify first). Reading goes on.
  virtual void shutdown_write() = 0;
  // False when the last read drained it and nothing has been heard since.
  virtual bool may_be_readable() const = 0;
  // The descriptor, for socket state queries only (tcp_info, SIOCOUTQ).
  virtual int descriptor() const = 0;
  // After the other side's FIN, which hides it from reading: whether a RST has come (a syscall).
  virtual bool is_reset() { return false; }
  // The connection is bound to be over TLS, so that heads can say so (scheme https).
  virtual bool is_secure() const { return false; }
};

}  // namespace sluice::net
