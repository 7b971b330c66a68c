// ProxyReader: takes the PROXY header off a client's socket, and not a byte more: it looks with
// MSG_PEEK until the header is whole, then reads just that, so that whoever goes on (a plain
// transport, TLS) finds a socket nobody has read from. Owned by a session until its one verdict.
// Loop's thread only; news comes from the loop, never from inside a call. Destroyed by its owner on
// a later tick than its verdict (loop.defer_delete).
//
//   silent ── first byte: on_proxy_begun() ──> begun ──┬──> on_proxy_header()
//     └──────── closed, too late, close() ─────────────┴──> on_no_proxy_header()
#pragma once

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"
#include "proxy/net/proxy_header.h"

namespace sluice::net {

// How it ended without a header.
enum class ProxyEnd : uint8_t {
  kFaulty,   // what came is no header, or none to be believed
  kTooSlow,  // begun, and not whole in time
  kSilent,   // not a byte in time
  kClosed,   // by the client, before its first byte
  kOrdered,  // close()
};

class ProxyEvents {
 public:
  virtual void on_proxy_begun() = 0;
  // The descriptor comes back. With Origin::kNone and `is_optional` there may have been none.
  // `wire` is the header as it was, empty when there was none; valid during the call.
  virtual void on_proxy_header(Fd fd, ProxyHeader&& header, std::string_view wire) = 0;
  // The descriptor is closed. `reason`: static text for the books; empty when nothing was sent.
  virtual void on_no_proxy_header(ProxyEnd end, std::string_view reason) = 0;

 protected:
  ~ProxyEvents() = default;
};

class ProxyReader final : public event::Deferred,
                          private event::IoEvents,
                          private event::TimerEvents {
 public:
  struct Terms {
    bool is_optional = false;  // what does not begin like a header is the client's
    Duration first_byte{0};
    Duration header{0};  // from its first byte to its last
  };
  // Requires: events outlive the reader.
  ProxyReader(event::Loop& loop, const Terms& terms, ProxyEvents& events)
      : loop_(loop), terms_(terms), events_(events), timer_(loop.timers(), *this) {}

  Status start(Fd fd);
  // kOrdered, soon, and for this reason (static text). Not while bytes are there that nobody has
  // looked at: they may be a request.
  void close(std::string_view reason);

 private:
  enum class State : uint8_t { kSilent, kBegun, kOver };

  void on_io(event::IoReady ready) override;
  void on_timer(event::Timer& timer) override;
  void look();
  void judge(std::string_view bytes);
  void hand_over(ProxyHeader&& header, std::string_view wire);
  void end(ProxyEnd how, std::string_view reason);

  event::Loop& loop_;
  const Terms terms_;
  ProxyEvents& events_;
  Fd fd_;
  State state_ = State::kSilent;
  bool ended_ = false;  // the FIN is behind what is there
  bool ordered_ = false;
  std::string_view ordered_for_;
  event::Timer timer_;
  event::IoWatcher watcher_;  // last: no news reaches a half-dead reader
};

}  // namespace sluice::net
