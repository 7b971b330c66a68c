// WebSocketFrames: where the frames of one direction of a WebSocket begin and end (RFC 6455 §5.2),
// for whoever relays the bytes and has a word of its own to put between two of them. Looks at
// headers only; payloads are counted past. A member of its tunnel. And the Close frame that this
// word is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/base/chain.h"

namespace sluice::http {

// RFC 6455 §7.4.1, and the IANA registry for 1012.
constexpr uint16_t kCloseGoingAway = 1001;
constexpr uint16_t kCloseServiceRestart = 1012;

class WebSocketFrames {
 public:
  // Takes from the front of `bytes` what belongs to the frame that is under way, or that begins
  // there. Returns how many; fewer than there are when a frame ends before the last of them.
  size_t take(std::string_view bytes);

  // Nothing of a frame has come that is not whole: here another may stand.
  bool is_between() const { return have_ == 0 && !lost_; }
  // A Close frame has passed: nothing may follow it (§5.5.1).
  bool has_closed() const { return closed_; }
  // What came are no frames; there will be no boundary again.
  bool is_lost() const { return lost_; }

 private:
  void take_header(uint8_t byte);

  uint64_t left_ = 0;  // of the payload; while the header comes, its length so far
  uint8_t have_ = 0;   // bytes of the header
  uint8_t need_ = 2;   // of them; more once the second is known
  uint8_t length_ends_ = 2;
  uint8_t opcode_ = 0;
  bool closed_ = false;
  bool lost_ = false;
};

using WebSocketMask = std::array<uint8_t, 4>;

// A Close frame with that status, and no reason. §5.3: towards a server it is masked, by bytes that
// nobody can foresee.
void write_close_frame(uint16_t status, const std::optional<WebSocketMask>& mask, Chain& out);

}  // namespace sluice::http
