// Where the frames of a WebSocket end, whole and one byte at a time; and the Close frame of our
// own.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/http/websocket_frames.h"

namespace sluice::http {
namespace {

std::string frame(int opcode, size_t size, bool masked, bool final = true) {
  std::string out(1, static_cast<char>((final ? 0x80 : 0) | opcode));
  const int mask = masked ? 0x80 : 0;
  if (size < 126) {
    out += static_cast<char>(mask | static_cast<int>(size));
  } else if (size < 65536) {
    out += static_cast<char>(mask | 126);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size & 0xff);
  } else {
    out += static_cast<char>(mask | 127);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
  }
  if (masked) out += "mask";
  return out + std::string(size, 'x');
}

// Where frames end, when the bytes come in pieces of that size.
std::vector<size_t> ends_of(const std::string& bytes, size_t piece, WebSocketFrames& frames) {
  std::vector<size_t> ends;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view given = std::string_view(bytes).substr(at, piece);
    const size_t taken = frames.take(given);
    REQUIRE(taken > 0);
    REQUIRE(taken <= given.size());
    at += taken;
    if (frames.is_between()) ends.push_back(at);
    if (taken < given.size()) CHECK(frames.is_between());
  }
  return ends;
}

}  // namespace

TEST_CASE("websocket frames: every length and mask, in pieces of any size") {
  for (const bool masked : {false, true}) {
    std::string bytes;
    std::vector<size_t> expected;
    for (const size_t size : {0, 1, 125, 126, 127, 65535, 65536, 3}) {
      bytes += frame(size % 2 == 0 ? 1 : 2, size, masked);
      expected.push_back(bytes.size());
    }
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{4096}, bytes.size()}) {
      CAPTURE(piece);
      WebSocketFrames frames;
      CHECK(frames.is_between());
      CHECK(ends_of(bytes, piece, frames) == expected);
      CHECK_FALSE(frames.has_closed());
      CHECK_FALSE(frames.is_lost());
    }
  }
}

TEST_CASE("websocket frames: a Close frame counts when its last byte has passed") {
  const std::string bytes = frame(1, 5, true, false) + frame(9, 3, true) + frame(8, 2, true);
  WebSocketFrames frames;
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    REQUIRE(frames.take({&bytes[i], 1}) == 1);
    CHECK_FALSE(frames.has_closed());
  }
  CHECK_FALSE(frames.is_between());
  CHECK(frames.take({&bytes.back(), 1}) == 1);
  CHECK(frames.has_closed());
  CHECK(frames.is_between());
}

TEST_CASE("websocket frames: a length that no frame may have is the end of all boundaries") {
  const std::string bytes = "\x82\x7f\x80" + std::string(200, '\0');
  for (const size_t piece : {size_t{1}, bytes.size()}) {
    WebSocketFrames frames;
    for (size_t at = 0; at < bytes.size();) {
      at += frames.take(std::string_view(bytes).substr(at, piece));
    }
    CHECK(frames.is_lost());
    CHECK_FALSE(frames.is_between());
    CHECK_FALSE(frames.has_closed());
  }
}

TEST_CASE("websocket frames: our own Close frame, and masked") {
  Chain plain;
  write_close_frame(kCloseServiceRestart, std::nullopt, plain);
  CHECK(plain.to_string() == std::string("\x88\x02\x03\xf4", 4));
  Chain masked;
  write_close_frame(kCloseGoingAway, WebSocketMask{1, 2, 3, 4}, masked);
  CHECK(masked.to_string() == std::string("\x88\x82\x01\x02\x03\x04\x02\xeb", 8));
  WebSocketFrames frames;
  CHECK(frames.take(masked.to_string()) == 8);
  CHECK(frames.has_closed());
}

}  // namespace sluice::http
