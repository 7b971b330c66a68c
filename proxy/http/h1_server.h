// H1Server: HTTP/1.x towards one client. The connection is its own only stream: one request at a
// time, pipelined ones wait in the intake. Owned by a session, destroyed by it on a later tick than
// on_over().
//
//   kNew ─┐          ┌──────────────── next request ───────────────┐
//         ├─> kHead ─┴─> kStream ── finish() ──> kFinish ──────────┤
//   kIdle ┘      │ refused  │ reset()           (unsent goes out,  │ nothing waits
//     ^          │          v                    unread discarded) ├──> kIdle
//     └──────────┼──────> kLinger <── to be closed ────────────────┘
//                └──> kOver <── FIN seen, or bounds reached
//
// Within kStream sending (Sending) and receiving (Receiving) are two machines. What only a request
// needs is in Request, which an idle connection does not have.
#pragma once

#include <memory>

#include "proxy/base/recycled.h"
#include "proxy/event/timers.h"
#include "proxy/http/connection.h"
#include "proxy/http/framing.h"
#include "proxy/net/transport.h"

namespace sluice::http {

class H1Server final : public ServerConnection,
                       public Recycled<H1Server>,
                       private ServerStream,
                       private net::TransportEvents,
                       private event::TimerEvents {
 public:
  // Requires: limits and owner outlive the connection.
  H1Server(std::unique_ptr<net::Transport> transport, event::Timers& timers,
           const ServerLimits& limits, ServerOwner& owner);
  ~H1Server() override;

  // Reads at once; requests may come from inside this call, as from no other order. (on_idle() may
  // come from inside finish(), too: the owner keeps its books then and calls nobody.)
  // `already_read` is what a sniffer has taken from the connection before.
  void start(std::string_view already_read = {});
  // From the first byte of a head to the end of its answer.
  bool has_request() const { return request_ != nullptr; }
  bool is_idle() const { return phase_ == Phase::kIdle; }
  uint32_t requests() const override { return requests_; }
  // It was begun in another process. Requires: before start().
  void resume(uint32_t requests) { requests_ = requests; }
  int idle_descriptor() const override {
    return is_idle() && !transport_->is_secure() ? transport_->descriptor() : -1;
  }

  void drain(bool draining) override { draining_ = draining; }
  void close(std::string_view reason) override;
  Ending ending() const override { return ending_; }
  uint64_t held() const override;

 private:
  enum class Phase : uint8_t { kNew, kIdle, kHead, kStream, kFinish, kLinger, kOver };
  struct Request;

  // -- ServerStream --
  void send_interim(const ResponseHead& head) override;
  void send_head(const ResponseHead& head) override;
  void close_after() override;
  bool probe() override;
  void send_body(Chain&& bytes) override;
  void send_end(Headers&& trailers) override;
  void flush() override;
  uint64_t unsent() const override;
  BodyRead read_body(Chain& into, uint64_t most) override;
  Headers& trailers() override;
  void finish() override;
  void reset() override;

  // -- news from below --
  void on_readable() override;
  void on_writable() override;
  void on_timer(event::Timer& timer) override;

  // Heads.
  void next_head();
  bool may_be_h2(std::string_view begin) const;
  void hand_to_h2();
  void begin_stream(RequestHead&& head);
  void reject(const HeadFault& fault, const RequestHead& head);
  void on_head_cut(const net::Io& io);
  void become_idle();

  // The body, and the client while nobody asks for it.
  net::Io fill();
  void answer_continue();
  void look_ahead();
  void stop_waiting();
  BodyRead wait_for_body();
  void break_off(Error error);

  // Leaving.
  bool write_out();
  void await_room();
  void begin_tunnel(const ResponseHead& head);
  void end_tunnel_sending();
  void settle();
  bool discard_body();
  void next_request();
  void linger();
  void swallow();
  void end();
  void because(Ending why);
  bool has_unread() const;

  // What must not be said from inside a call is said from here.
  void later();
  void catch_up();
  void expire();
  void watch();
  TimePoint earliest() const;

  // Fixed at birth.
  std::unique_ptr<net::Transport> transport_;  // until hand_to_h2()
  event::Timers& timers_;
  const ServerLimits& limits_;
  ServerOwner& owner_;
  // Changes as we go.
  std::unique_ptr<Request> request_;
  TimePoint deadline_ = TimePoint::max();  // of what this phase waits for
  TimePoint timer_at_ =
      TimePoint::max();    // the timer fires early and is set again, never moved later
  uint64_t lingered_ = 0;  // bytes discarded since our FIN
  uint32_t requests_ = 0;
  Phase phase_ = Phase::kNew;
  Ending ending_ = Ending::kOpen;
  bool draining_ = false;
  bool client_ended_ = false;  // its FIN was read
  bool head_due_ = false;      // bytes may wait for next_head()
  bool on_stack_ = false;      // catch_up() is going to run when this frame ends
  bool over_told_ = false;
  event::Timer timer_;
};

// An idle client connection costs this and its transport; keep it small.
static_assert(sizeof(H1Server) <= 160);

}  // namespace sluice::http
