// Any bytes as one direction of a WebSocket. However they are cut, frames end at the same places,
// where a second reading of the headers says they do; a Close frame of ours, put at any of them, is
// a frame of its own.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "proxy/base/assert.h"
#include "proxy/http/websocket_frames.h"

using namespace sluice::http;

namespace {

struct Reading {
  std::vector<size_t> ends;
  bool closed = false;
  bool lost = false;
  bool operator==(const Reading&) const = default;
};

Reading in_pieces(std::string_view bytes, size_t piece) {
  WebSocketFrames frames;
  Reading reading;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view given = bytes.substr(at, piece);
    const size_t taken = frames.take(given);
    SLUICE_ASSERT(taken > 0 && taken <= given.size());
    at += taken;
    if (frames.is_between()) reading.ends.push_back(at);
    SLUICE_ASSERT(taken == given.size() || frames.is_between());
  }
  reading.closed = frames.has_closed();
  reading.lost = frames.is_lost();
  return reading;
}

// RFC 6455 §5.2, with the whole text at hand.
Reading at_once(std::string_view bytes) {
  const auto byte = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  Reading reading;
  for (size_t at = 0; at + 2 <= bytes.size();) {
    size_t size = 2;
    uint64_t length = byte(at + 1) & 0x7f;
    if (length >= 126) {
      const size_t more = length == 126 ? 2 : 8;
      if (at + 2 + more > bytes.size()) {
        break;
      }
      length = 0;
      for (size_t i = 0; i < more; ++i) length = length << 8 | byte(at + 2 + i);
      size += more;
    }
    if (length > INT64_MAX) {
      reading.lost = true;
      break;
    }
    if ((byte(at + 1) & 0x80) != 0) size += 4;
    if (bytes.size() - at < size || bytes.size() - at - size < length) break;
    reading.closed = reading.closed || (byte(at) & 0x0f) == 8;
    at += size + static_cast<size_t>(length);
    reading.ends.push_back(at);
  }
  return reading;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const Reading expected = at_once(bytes);
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{64}, size + 1}) {
    SLUICE_ASSERT(in_pieces(bytes, piece) == expected);
  }
  if (size < 6) return 0;
  const WebSocketMask mask{data[0], data[1], data[2], data[3]};
  sluice::Chain close;
  write_close_frame(static_cast<uint16_t>(data[4] << 8 | data[5]), mask, close);
  const Reading ours = at_once(close.to_string());
  SLUICE_ASSERT(ours.closed && ours.ends.size() == 1 && ours.ends[0] == close.size());
  return 0;
}
