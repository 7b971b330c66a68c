// SerialClient: what h1 and uwsgi towards an upstream have in common: one request at a time on one
// transport, a queue that is written, an answer that is HTTP/1.x. How a request's head looks is the
// derived codec's. Owned by a pool, destroyed by it on a later tick than on_over() or the last
// on_stream_over(); both of these are bookkeeping, and on_stream_over() comes from inside finish().
//
//   kIdle ── lease() ──> kStream ── finish(), reset() ──> kIdle if reusable, else kOver
//     └── closed, or spoke unasked ──> kOver
#pragma once

#include <memory>
#include <optional>

#include "proxy/event/timers.h"
#include "proxy/http/connection.h"
#include "proxy/http/response_reader.h"
#include "proxy/net/transport.h"

namespace sluice::http {

class SerialClient : public ClientConnection,
                     private ClientStream,
                     private net::TransportEvents,
                     private event::TimerEvents {
 public:
  ClientStream& lease() override;
  void begin_with(std::string_view preface) override;
  bool is_idle() const override { return phase_ == Phase::kIdle; }
  uint64_t requests() const override { return requests_; }
  void hold_rest() override;
  void release_rest() override;

 protected:
  // Requires: limits and owner outlive the connection; records, if not null, is the derived's.
  SerialClient(std::unique_ptr<net::Transport> transport, event::Timers& timers,
               const ClientLimits& limits, ClientOwner& owner, ResponseReader::Dialect dialect,
               FastcgiAnswer* records = nullptr);
  ~SerialClient() override;

  // The head as this protocol writes it, at the end of `out`.
  virtual Status write_head(const RequestHead& head, Chain& out) = 0;
  // A piece of a body of known length, and the request's end, whatever its body.
  virtual void write_body(Chain&& bytes, Chain& out) { out.append(std::move(bytes)); }
  virtual void write_end(Chain&) {}
  // What tells the other side that a request it has begun with is given up, before the connection
  // goes.
  virtual void write_abort(Chain&) {}
  // Whether a body of unknown length is sent chunked.
  virtual bool may_chunk() const = 0;
  virtual bool may_be_reused() const = 0;
  // How many bytes of a head of that size may stand alone for a while, without being a request.
  virtual size_t prelude(size_t head_size) const = 0;
  // The connection ended before any answer: what this protocol knows about that.
  virtual void explain_silence(Error&) const {}

 private:
  enum class Phase : uint8_t { kIdle, kStream, kOver };
  // kShut: of a tunnel, our FIN is out.
  enum class Sending : uint8_t { kHead, kBody, kEnd, kShut, kFailed };
  // kWanted: read_body() said kBlocked, on_readable() is owed.
  enum class Receiving : uint8_t { kHead, kBody, kWanted, kEnd, kBroken };

  // -- ClientStream --
  void set_events(ClientEvents& events) override { events_ = &events; }
  void send_head(const RequestHead& head) override;
  void send_body(Chain&& bytes) override;
  void send_end(Headers&& trailers) override;
  void flush() override;
  uint64_t unsent() const override { return out_.size(); }
  BodyRead read_body(Chain& into, uint64_t most) override;
  Headers& trailers() override { return reader_.trailers(); }
  void finish() override;
  void reset() override;
  Delivery delivery() const override;

  // -- news from below --
  void on_readable() override;
  void on_writable() override;
  void on_timer(event::Timer& timer) override;

  bool write_prelude();
  void write_out();
  void begin_tunnel();
  void lose_tunnel();
  // 101 has come: no longer HTTP.
  bool is_tunnel() const { return framing_ == BodyFraming::kUntilClose; }
  void read_heads();
  void look_at_idle();
  void break_off(Error error);
  void break_unanswered(Error error);
  void leave(bool reusable);
  void later();
  void catch_up();
  void watch();

  // Fixed at birth.
  const std::unique_ptr<net::Transport> transport_;
  event::Timers& timers_;
  const ClientLimits& limits_;
  ClientOwner& owner_;
  // Changes as we go.
  ClientEvents* events_ = nullptr;
  ResponseReader reader_;
  Chain out_;                  // bounded by whoever sends: it holds back above its mark
  std::optional<Error> news_;  // on_broken() on its way
  uint64_t requests_ = 0;
  uint64_t sent_ = 0;           // bytes the kernel took, in the connection's life
  uint64_t sent_before_ = 0;    // of them before this request
  uint64_t incomplete_ = 0;     // as long as sent_ is not above it, nothing can be executed
  int write_error_ = 0;         // errno of the write of this request that failed
  uint64_t unsent_length_ = 0;  // of a body of known length: what is still to be queued
  TimePoint send_deadline_ = TimePoint::max();
  TimePoint timer_at_ = TimePoint::max();  // the timer fires early and is set again
  Phase phase_ = Phase::kIdle;
  Sending sending_ = Sending::kHead;
  Receiving receiving_ = Receiving::kHead;
  BodyFraming framing_ = BodyFraming::kNone;  // of the request
  bool blocked_ = false;                      // the last write was; on_writable() comes
  bool rest_held_ = false;                    // no more than the prelude goes out
  bool heads_due_ = false;                    // look for an answer although nothing was heard
  bool on_stack_ = false;                     // catch_up() is going to run when this frame ends
  bool over_told_ = false;
  event::Timer timer_;
};

}  // namespace sluice::http
