// ConnectProbe: asks an endpoint that is away whether it is back, by connecting and closing, with a
// backoff of its own. Owned by its watch; control thread.
#pragma once

#include <memory>

#include "proxy/net/dialer.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

class ConnectProbe;

class ProbeEvents {
 public:
  // The probe may be asked again, or destroyed on a later tick.
  virtual void on_probed(ConnectProbe& probe, bool connected) = 0;

 protected:
  ~ProbeEvents() = default;
};

class ConnectProbe final : private net::DialEvents {
 public:
  ConnectProbe(event::Loop& loop, const Endpoint& endpoint, ProbeEvents& events)
      : endpoint_(endpoint), events_(events), dialer_(loop, *this) {}

  // kEager: 5 to 50 ms in the first ten seconds, then up to 1 s. kPatient: 1 s.
  enum class Pace : uint8_t { kEager, kPatient };

  const Endpoint& endpoint() const { return endpoint_; }
  // Away since `now`; again with the same pace: no difference until end().
  void begin(Pace pace, TimePoint now);
  void end() { is_begun_ = false; }
  bool is_due(TimePoint now) const { return is_begun_ && !is_dialling_ && now >= next_; }
  bool is_dialling() const { return is_dialling_; }
  // Something has happened there: the next one is due at once.
  void hurry() { next_ = TimePoint::min(); }
  // Requires: is_due().
  void dial(TimePoint now);

 private:
  void on_connected(std::unique_ptr<net::Transport> transport) override;
  void on_dial_failed(const Error& error) override;

  const Endpoint& endpoint_;
  ProbeEvents& events_;
  bool is_begun_ = false;
  bool is_dialling_ = false;
  Pace pace_ = Pace::kEager;
  TimePoint began_{};  // the absence
  TimePoint next_{};
  Duration wait_{0};  // before the next one
  net::Dialer dialer_;
};

}  // namespace sluice::upstream
