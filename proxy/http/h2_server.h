// H2Server: HTTP/2 towards one client (RFC 9113), with prior knowledge or by ALPN. nghttp2 keeps
// frames, HPACK and the states of streams; what is read, written, waited for and told is decided
// here. Each request is a Stream (h2_server_stream.h), which its exchange borrows. Owned by a
// session, destroyed by it on a later tick than on_over().
//
//   kOpen ── the farewell is said and the last stream over ───┬─> kLinger ──> kOver
//     └── connection error: GOAWAY ──> kGone ── it is out ────┘      FIN seen, or bounds reached
//
//   farewell (DESIGN, law 4): kNone ── GOAWAY(2^31-1), PING ──> kHinted ── its ack, or 1 s ──>
//   kSaid: GOAWAY(last accepted); later streams are refused
//
// Bytes go: stream's queue -> (windows, priorities) -> out_, at most kMark -> socket, in one write
// for all streams at the end of a round of the loop. While out_ is full nothing is read, so that
// answers to PING and SETTINGS cannot grow either.
#pragma once

#include <memory>
#include <vector>

#include "proxy/base/recycled.h"
#include "proxy/event/timers.h"
#include "proxy/http/connection.h"
#include "proxy/http/framing.h"
#include "proxy/http/h2_frame_scan.h"
#include "proxy/http/h2_guard.h"
#include "proxy/http/intake.h"
#include "proxy/net/transport.h"

struct nghttp2_session;

namespace sluice::http {

// What an HTTP/2 connection begins with (RFC 9113 §3.4).
constexpr std::string_view kH2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class H2Server final : public ServerConnection,
                       public Recycled<H2Server>,
                       private net::TransportEvents,
                       private event::TimerEvents {
 public:
  // Requires: limits and owner outlive the connection.
  H2Server(std::unique_ptr<net::Transport> transport, event::Timers& timers,
           const ServerLimits& limits, ServerOwner& owner);
  ~H2Server() override;

  // Reads at once; requests may come from inside this call, as from no other order.
  // `already_read` is what a sniffer has taken from the connection before.
  void start(std::string_view already_read = {});

  void drain(bool draining) override;
  void close(std::string_view reason) override;
  void retire() override;
  Ending ending() const override { return ending_; }
  uint32_t requests() const override { return requests_; }
  uint64_t held() const override;
  size_t streams() const { return streams_.size(); }

 private:
  enum class Phase : uint8_t { kOpen, kGone, kLinger, kOver };
  enum class Farewell : uint8_t { kNone, kHinted, kSaid };
  struct Stream;
  struct Callbacks;
  static constexpr size_t kMark = 64 * 1024;  // of out_, before the socket is asked

  // -- news from below --
  void on_readable() override;
  void on_writable() override;
  void on_timer(event::Timer& timer) override;

  // Reading. What nghttp2 finds is noted at the streams and told by tell_news().
  void read_in();
  void feed(std::string_view bytes);
  bool hand(std::string_view bytes);
  bool is_odd_frame() const;
  uint32_t fault_of_frame();
  void on_client_end();
  Stream* find(int32_t id) const;
  Stream& open_stream(int32_t id);
  void on_stream_closed(Stream& stream, uint32_t code);
  bool is_harm(std::string_view limit);
  int harmed(std::string_view limit);
  int broken(uint32_t code);
  bool overflows(uint32_t initial_window);
  int64_t widest_window() const;
  uint32_t was_closed(int32_t id) const;

  // News, and their end.
  void note(Stream& stream);
  void tell_news();
  void tell(Stream& stream);
  void begin(Stream& stream);
  void reject(Stream& stream, const HeadFault& fault);
  void break_off(Stream& stream, Error error);
  void release(Stream& stream);
  void catch_up();
  void later();

  // Writing.
  void push();
  void serialize();
  void write_out();
  bool wants_write() const;

  // Leaving.
  void say_last();
  void fail(uint32_t code);
  void be_gone();
  void abandon_streams();
  void settle();
  void become_idle();
  void linger();
  void swallow();
  void end();
  void because(Ending why);
  bool has_unread() const;

  // Time.
  void expire();
  void expire_streams(TimePoint now);
  void watch(TimePoint deadline);
  TimePoint earliest() const;
  TimePoint silence_deadline() const;

  // Fixed at birth.
  const std::unique_ptr<net::Transport> transport_;
  event::Timers& timers_;
  const ServerLimits& limits_;
  ServerOwner& owner_;
  nghttp2_session* session_ = nullptr;  // owned
  // Changes as we go.
  Intake in_;
  Chain out_;                                     // frames; bounded by kMark and one frame
  std::vector<std::unique_ptr<Stream>> streams_;  // bounded by limits.streams and purses
  std::vector<std::unique_ptr<Stream>> dead_;     // until nothing of theirs is on the stack
  std::vector<Stream*> due_;                      // who has news; of streams_ or dead_
  std::vector<int32_t> refused_;                  // to be told so; bounded by a purse
  Stream* in_head_ = nullptr;                     // whose header block is being read
  H2FrameScan scan_{kH2Preface.size()};
  H2Guard guard_;
  // The last streams that are over: what comes for them late is told from what breaks the protocol.
  struct Past {
    std::vector<int32_t> ids;  // a ring of kPastKept
    size_t at = 0;
    void note(int32_t id);
    bool has(int32_t id) const;
  };
  Past cut_;                // by us: the client may have sent more before it knew
  Past ended_;              // by the client
  uint32_t harm_code_ = 0;  // for GOAWAY, where a callback has failed
  TimePoint heard_at_;      // when bytes came last
  TimePoint idle_deadline_ = TimePoint::max();      // no stream; while lingering: until we give up
  TimePoint head_deadline_ = TimePoint::max();      // of a header block that has begun
  TimePoint send_deadline_ = TimePoint::max();      // of the socket
  TimePoint farewell_deadline_ = TimePoint::max();  // of kHinted
  TimePoint timer_at_ = TimePoint::max();
  uint64_t lingered_ = 0;
  uint32_t requests_ = 0;
  uint32_t open_ = 0;  // streams, as nghttp2 counts them
  uint32_t wide_ = 0;  // streams with a large window
  int32_t last_said_ = 0;
  int64_t widest_ = 0;              // window of a stream, as SETTINGS found it
  int64_t initial_window_ = 65535;  // of streams, as the client wants it
  Phase phase_ = Phase::kOpen;
  Farewell farewell_ = Farewell::kNone;
  Ending ending_ = Ending::kOpen;
  bool idle_ = false;           // as the owner knows it
  bool asked_ = false;          // silent for long: a PING went out
  bool blocked_ = false;        // the socket takes no more; on_writable() comes
  bool client_ended_ = false;   // its FIN was read
  bool client_leaves_ = false;  // its GOAWAY was read
  bool dribbled_ = false;       // its windows let out a few bytes at a time, too often
  bool doomed_ = false;         // nghttp2 said GOAWAY with an error
  bool lost_ = false;           // the transport failed
  bool read_due_ = false;       // bytes may wait
  bool on_stack_ = false;       // catch_up() is going to run when this frame ends
  bool over_told_ = false;
  event::Timer timer_;
  event::Timer turn_;  // at the end of this round: catch_up()
};

}  // namespace sluice::http
