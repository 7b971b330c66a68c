// What an H2Server needs in its tests: an owner above (ServerRig's, with many exchanges at once),
// and below a client that is nghttp2 itself (h2_client.h), or writes frames by hand.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <string>

#include "proxy/http/h2_server.h"
#include "tests/unit/http/h2_client.h"

namespace sluice::testing {

// Its connection is an H2Server.
struct H2Rig : ServerRig {
  explicit H2Rig(bool one_byte = false) : ServerRig(one_byte) { limits.streams = 128; }
  void start_h2(std::string_view already_read = {}) {
    h2 = std::make_unique<http::H2Server>(std::make_unique<MemoryTransport>(wire), timers, limits,
                                          *this);
    h2->start(already_read);
  }
  std::unique_ptr<http::H2Server> h2;
};

inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  out += payload;
  return out;
}

constexpr uint8_t kEnd = NGHTTP2_FLAG_END_STREAM;
constexpr uint8_t kAllHeaders = NGHTTP2_FLAG_END_HEADERS;

// GET http://a/ by hand: three static fields and a literal :authority.
inline const std::string kGet = std::string("\x82\x86\x84\x41\x01", 5) + "a";
inline const std::string kPost = std::string("\x83\x86\x84\x41\x01", 5) + "a";

inline std::string begin() {
  return std::string(http::kH2Preface) + frame(NGHTTP2_SETTINGS, 0, 0, "");
}

inline std::string word(uint32_t number) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(number >> shift);
  return out;
}

inline void finish(FakeExchange& exchange, std::string_view text = "ok") {
  exchange.answer(200, text);
  exchange.stream.finish();
}

// The error code of the last GOAWAY among the frames; -1: there is none.
inline int64_t goaway_code(std::string_view sent) {
  int64_t code = -1;
  while (sent.size() >= 9) {
    const auto at = [&sent](size_t i) {
      return static_cast<uint32_t>(static_cast<uint8_t>(sent[i]));
    };
    const size_t size = at(0) << 16 | at(1) << 8 | at(2);
    if (sent.size() < 9 + size) break;
    if (at(3) == NGHTTP2_GOAWAY) code = at(13) << 24 | at(14) << 16 | at(15) << 8 | at(16);
    sent.remove_prefix(9 + size);
  }
  return code;
}

}  // namespace sluice::testing
