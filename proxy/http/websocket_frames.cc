#include "proxy/http/websocket_frames.h"

#include <algorithm>

namespace sluice::http {
namespace {

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kClose = 0x8;
constexpr uint8_t kLength16 = 126;
constexpr uint8_t kLength64 = 127;

}  // namespace

size_t WebSocketFrames::take(std::string_view bytes) {
  size_t at = 0;
  while (have_ < need_ && !lost_) {
    if (at == bytes.size()) return at;
    take_header(static_cast<uint8_t>(bytes[at++]));
  }
  if (lost_) return bytes.size();
  const auto payload = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size() - at));
  left_ -= payload;
  if (left_ == 0) {
    closed_ = closed_ || opcode_ == kClose;
    have_ = 0;
    need_ = 2;
  }
  return at + payload;
}

void WebSocketFrames::take_header(uint8_t byte) {
  const uint8_t index = have_++;
  if (index == 0) {
    opcode_ = byte & 0x0f;
    left_ = 0;
  } else if (index == 1) {
    const uint8_t length = byte & 0x7f;
    length_ends_ = 2;
    if (length == kLength16) {
      length_ends_ = 4;
    } else if (length == kLength64) {
      length_ends_ = 10;
    } else {
      left_ = length;
    }
    need_ = length_ends_;
    if ((byte & kMasked) != 0) need_ = static_cast<uint8_t>(need_ + sizeof(WebSocketMask));
  } else if (index < length_ends_) {
    left_ = left_ << 8 | byte;
  }
  // §5.2: the most significant bit must be 0. Who sets it speaks something else.
  if (have_ == length_ends_ && left_ > INT64_MAX) lost_ = true;
}

void write_close_frame(uint16_t status, const std::optional<WebSocketMask>& mask, Chain& out) {
  const std::array<uint8_t, 2> payload = {static_cast<uint8_t>(status >> 8),
                                          static_cast<uint8_t>(status & 0xff)};
  char* const begin = out.prepare(2 + sizeof(WebSocketMask) + payload.size());
  char* at = begin;
  *at++ = static_cast<char>(kFinal | kClose);
  *at++ = static_cast<char>((mask ? kMasked : 0) | payload.size());
  for (size_t i = 0; mask && i < mask->size(); ++i) *at++ = static_cast<char>((*mask)[i]);
  for (size_t i = 0; i < payload.size(); ++i) {
    *at++ = static_cast<char>(payload[i] ^ (mask ? (*mask)[i] : 0));
  }
  out.commit(static_cast<size_t>(at - begin));
}

}  // namespace sluice::http
