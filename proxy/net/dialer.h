// Dialer: one connection attempt. Answers once, on a later tick, with a connected transport or an
// error (kRefused, kNotFound, kWouldBlock, kTimeout, …). A handle: destroying it abandons the
// attempt.
#pragma once

#include <memory>

#include "proxy/event/soon.h"
#include "proxy/net/address.h"
#include "proxy/net/transport.h"

namespace sluice::net {

class DialEvents {
 public:
  virtual void on_connected(std::unique_ptr<Transport> transport) = 0;
  virtual void on_dial_failed(const Error& error) = 0;

 protected:
  ~DialEvents() = default;
};

class Dialer final : private TransportEvents,
                     private event::TimerEvents,
                     private event::SoonEvents {
 public:
  Dialer(event::Loop& loop, DialEvents& events)
      : loop_(loop), events_(events), timer_(loop.timers(), *this), soon_(loop, *this) {}
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  // Begins. Requires: not dialling already.
  void dial(const SocketAddress& address, Duration timeout);

 private:
  enum class State : uint8_t { kIdle, kConnecting, kConnected, kFailed };

  void connect(const SocketAddress& address);
  void settle(State state);
  void on_readable() override { check(); }
  void on_writable() override { check(); }
  void on_timer(event::Timer& timer) override;
  void on_soon() override;
  void check();

  event::Loop& loop_;
  DialEvents& events_;
  State state_ = State::kIdle;
  std::string target_;
  Error error_;  // kFailed
  std::unique_ptr<Transport> transport_;
  event::Timer timer_;  // the deadline
  event::Soon soon_;    // tells the verdict: never from inside dial() or the transport's own news
};

}  // namespace sluice::net
