// Attempt: one try at an upstream: a lease is got, the request sent, the answer's head awaited, its
// body read. A retry is a new Attempt. Owned by the exchange; destroying it gives up whatever it
// holds (a place in the queue, a dial, a stream). One thread; news never comes from inside a call.
//
//   kIdle -> kWaiting (queue, dial) -> kLeased (send, answer) -> kOver
//       \____________________________/            (an idle connection: at once)
#pragma once

#include <optional>

#include "proxy/base/recycled.h"
#include "proxy/event/timers.h"
#include "proxy/exchange/outcome.h"
#include "proxy/http/stream.h"
#include "proxy/upstream/cluster.h"

namespace sluice::exchange {

struct Failure {
  Stage stage = Stage::kConnect;
  Error error;
  http::ClientStream::Delivery delivery = http::ClientStream::Delivery::kNotSent;
  const upstream::Endpoint* endpoint = nullptr;
  bool fresh = true;  // the connection had carried no request before
};

class AttemptEvents {
 public:
  virtual void on_leased() = 0;  // send the request now
  virtual void on_interim(http::ResponseHead&& head) = 0;
  virtual void on_head(http::ResponseHead&& head) = 0;
  virtual void on_upstream_readable() = 0;
  virtual void on_upstream_writable() = 0;
  // retry.per_try has passed without an answer; the attempt goes on unless it is abandoned.
  virtual void on_late() = 0;
  // The attempt is over and holds nothing any more; destroy it on a later tick: it is on the stack.
  virtual void on_attempt_failed(const Failure& failure) = 0;

 protected:
  ~AttemptEvents() = default;
};

class Attempt final : public event::Deferred,
                      public Recycled<Attempt>,
                      private upstream::Waiter,
                      private http::ClientEvents,
                      private event::TimerEvents {
 public:
  Attempt(event::Loop& loop, upstream::Cluster& cluster, AttemptEvents& events);
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt();

  // Asks for a lease. A failure that is known at once is returned, never told.
  std::optional<Failure> start(const upstream::Wish& wish);
  bool is_waiting() const { return state_ == State::kWaiting; }
  bool is_leased() const { return state_ == State::kLeased; }
  // What has failed by now: for who gives it up. Requires: is_leased().
  Failure failure(const Error& error) const;
  // Requires: is_leased().
  http::ClientStream& stream() { return *lease_.stream; }
  const upstream::Lease& lease() const { return lease_; }
  TimePoint leased_at() const { return leased_at_; }

  // Deadlines of the application. Each replaces the one before.
  void expect_head();
  void expect_bytes();
  void expect_nothing() { timer_.cancel(); }

  // What the application has said beside its answer, for the log. Requires: the attempt is over.
  std::string take_remarks();

  // The answer was read to its end: gives the connection back. Requires: is_leased().
  void finish();
  // Breaks off, whatever state it is in.
  void abandon();

 private:
  enum class State : uint8_t { kIdle, kWaiting, kLeased, kOver };

  void on_lease(const upstream::Lease& lease) override;
  void on_no_lease(const Error& error, const upstream::Endpoint* endpoint) override;
  void on_interim(http::ResponseHead&& head) override { events_.on_interim(std::move(head)); }
  void on_head(http::ResponseHead&& head) override;
  void on_readable() override { events_.on_upstream_readable(); }
  void on_writable() override;
  void on_broken(const Error& error) override;
  void on_timer(event::Timer& timer) override;
  void hold(const upstream::Lease& lease);
  Stage stage() const;

  event::Loop& loop_;
  upstream::Cluster& cluster_;
  AttemptEvents& events_;
  State state_ = State::kIdle;
  bool has_head_ = false;
  bool is_late_ = false;  // on_late() was said
  Duration rest_{0};      // of first_byte, behind the per_try that is armed
  upstream::Lease lease_;
  TimePoint leased_at_{};
  std::string remarks_;  // bounded by the codec's
  event::Timer timer_;
  std::unique_ptr<upstream::Ticket> ticket_;
};

}  // namespace sluice::exchange
