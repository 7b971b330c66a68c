// Headers of PROXY protocol version 2, put together by hand for tests, right or wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::testing {

// 203.0.113.7:56324 to 10.0.0.1:443; [2001:db8::1]:56324 to [fd00::2]:443.
inline const std::string kFour{"\xcb\x00\x71\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb", 12};
inline const std::string kSix{
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
    "\xdc\x04\x01\xbb",
    36};

inline std::string two_bytes(size_t number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number & 0xff)};
}

inline std::string tlv(uint8_t type, std::string_view value) {
  return std::string(1, static_cast<char>(type)) + two_bytes(value.size()) + std::string(value);
}

inline std::string block(uint8_t command, uint8_t family, std::string_view content) {
  std::string out{"\r\n\r\n\0\r\nQUIT\n", 12};
  out += static_cast<char>(command);
  out += static_cast<char>(family);
  return out + two_bytes(content.size()) + std::string(content);
}

}  // namespace sluice::testing
