// Tunnel: what is left of an exchange when its upstream has answered 101: bytes both ways, each way
// with its own half-close, none faster than its reader. It ends by itself when both sides have
// ended, and politely when its time is up: a WebSocket by a Close frame to either side, between two
// frames of the relayed ones; any other protocol by our FIN. A machine that is told the time and
// calls nobody: the exchange owns it, pumps it with each news and arms a timer at due().
//
//   kOpen ── both sides have ended ───────────────────────────────────────────> kOver
//     │ time is up                                                                ^
//     └─> kClosing ── both Close frames answered, or 1 s ──> kShut ── both ended, ┤
//         (WebSockets: what comes is looked at, and dropped)         or 1 s ──────┘
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "proxy/base/clock.h"
#include "proxy/exchange/relay.h"
#include "proxy/http/stream.h"
#include "proxy/http/websocket_frames.h"
#include "proxy/observe/metric_ids.h"

namespace sluice::exchange {

class Tunnel {
 public:
  struct Terms {
    bool is_websocket = false;
    Duration idle{0};     // neither side said anything; 0: no limit
    Duration max_age{0};  // 0: no limit
  };

  // Requires: both streams have seen the head with 101, and outlive this.
  Tunnel(http::ServerStream& client, http::ClientStream& upstream, const Terms& terms,
         TimePoint now);

  // Moves what can be moved now. kDone: it is over.
  Flow pump(TimePoint now);
  // What is due at that time: pump() after it.
  void on_time(TimePoint now);
  TimePoint due() const;
  // A drain. A WebSocket begins to close at `at`, others and what is in the middle of a frame have
  // until `last`. Never later than said before.
  void end_at(TimePoint at, TimePoint last);
  // A side is lost, or we give up. The first cause counts.
  void note(observe::TunnelEnd why);

  bool is_open() const { return state_ == State::kOpen; }
  observe::TunnelEnd ending() const { return ending_.value_or(observe::TunnelEnd::kCut); }
  uint64_t received() const { return up_.bytes; }  // from the client
  uint64_t sent() const { return down_.bytes; }    // from the upstream

 private:
  enum class State : uint8_t { kOpen, kClosing, kShut, kOver };
  // kLastFrame: a Close frame of ours is due when the present frame is through. kSaid: nothing more
  // of this side is passed on. kShut: our FIN was queued.
  enum class Relaying : uint8_t { kYes, kLastFrame, kSaid, kShut };
  struct Way {
    http::Stream& from;
    http::Stream& to;
    const observe::TunnelEnd side;  // whose bytes these are
    http::WebSocketFrames frames;
    Relaying relaying = Relaying::kYes;
    bool ended = false;  // that side's FIN was read
    uint64_t bytes = 0;
  };

  Flow pump(Way& way);
  void take(Way& way, Chain&& bytes);
  void close(TimePoint now, observe::TunnelEnd why, uint16_t status);
  void say_close(Way& way);
  void shut(TimePoint now);
  void shut(Way& way);
  void settle(TimePoint now);
  bool has_word_due() const;

  // Fixed at birth.
  const Terms terms_;
  const TimePoint old_at_;  // of max_age
  // Changes as we go.
  State state_ = State::kOpen;
  Way up_;    // client to upstream
  Way down_;  // upstream to client
  std::optional<observe::TunnelEnd> ending_;
  uint16_t status_ = 0;    // of our Close frames
  bool word_due_ = false;  // one of them waits for the end of a frame
  TimePoint active_at_;
  TimePoint end_at_ = TimePoint::max();  // of a drain
  TimePoint last_ = TimePoint::max();
  TimePoint deadline_ = TimePoint::max();  // of kClosing and kShut
};

// How many tunnels of a route there are, in all workers; touched twice a tunnel. Outlives reloads.
using TunnelCount = std::atomic<uint32_t>;

// One place of them, from the request that asks for a tunnel to the tunnel's end.
class TunnelPlace {
 public:
  TunnelPlace() = default;
  ~TunnelPlace();
  TunnelPlace(const TunnelPlace&) = delete;
  TunnelPlace& operator=(const TunnelPlace&) = delete;

  // False: all of `most` are taken. Requires: once.
  bool take(std::shared_ptr<TunnelCount> count, uint32_t most);

 private:
  std::shared_ptr<TunnelCount> count_;
};

// What an exchange has beside its other parts from the moment a tunnel is asked for.
struct Upgrade {
  TunnelPlace place;
  TimePoint end_at = TimePoint::max();  // a drain's word that came before the tunnel
  TimePoint last = TimePoint::max();
  std::optional<Tunnel> tunnel;
};

}  // namespace sluice::exchange
