// Handshake: a client's connection from the first byte of TLS to its last word on who we are: with
// a deadline. A refusal (an alert) is left to be read before the connection is closed. Owned by
// its session; it and its news live on the worker's thread.
//
//   kShaking -> (verdict: kDone, kPlain: the owner takes the connection and goes on)
//           '-> (verdict: kFailed) -> kParting -> over
//           '-> (verdict: kTimeout, kLeft, kClosed) -> over
#pragma once

#include <memory>
#include <string>

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"
#include "proxy/net/tls_transport.h"

namespace sluice::server {

enum class Verdict : uint8_t { kDone, kPlain, kFailed, kTimeout, kLeft, kClosed };

class HandshakeEvents {
 public:
  // Once. After kDone and kPlain it is the owner's turn; after the others on_parted() follows.
  virtual void on_verdict(Verdict verdict) = 0;
  // The connection can be closed. It may still be on the stack.
  virtual void on_parted() = 0;

 protected:
  ~HandshakeEvents() = default;
};

class Handshake final : public event::Deferred,
                        private net::TransportEvents,
                        private event::TimerEvents {
 public:
  Handshake(event::Loop& loop, HandshakeEvents& events)
      : loop_(loop), events_(events), timer_(loop.timers(), *this) {}

  // False: the socket could not be watched.
  bool start(Fd fd, std::shared_ptr<const net::TlsContext> context, Duration limit);
  // Gives up; the news comes on a later tick.
  void close();

  const net::TlsTransport& transport() const { return *transport_; }
  // Requires: the verdict was kDone; events of the transport are the taker's.
  std::unique_ptr<net::TlsTransport> take_transport() { return std::move(transport_); }
  // Requires: the verdict was kPlain.
  Fd take_plain(std::string& read) { return transport_->take_plain(read); }

 private:
  enum class Phase : uint8_t { kShaking, kClosing, kParting, kOver };

  void on_readable() override;
  void on_writable() override;
  void on_timer(event::Timer& timer) override;
  void advance();
  void decide(Verdict verdict);
  void part();

  event::Loop& loop_;
  HandshakeEvents& events_;
  Phase phase_ = Phase::kShaking;
  std::unique_ptr<net::TlsTransport> transport_;
  event::Timer timer_;
};

}  // namespace sluice::server
