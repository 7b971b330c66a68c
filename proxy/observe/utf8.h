// Well-formed UTF-8 (RFC 3629 §4), one character at a time: logs and labels carry what strangers
// sent, and what reads them refuses bytes that are not text. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::observe {

// Length of the character that starts at `from`; 0 when the bytes there are none (a stray
// continuation, an overlong form, a surrogate, above U+10FFFF, cut off).
// Requires: from != end.
constexpr size_t utf8_length(const char* from, const char* end) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(from[at]); };
  const auto left = static_cast<size_t>(end - from);
  const auto follows = [&](size_t at, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return at < left && byte(at) >= low && byte(at) <= high;
  };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return follows(1) ? 2 : 0;
  if (lead < 0xf0) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (lead < 0xf5) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// The text with every byte that is no UTF-8 replaced by '?'.
inline std::string to_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at != end;) {
    const size_t size = utf8_length(at, end);
    if (size == 0) {
      out.push_back('?');
      ++at;
    } else {
      out.append(at, size);
      at += size;
    }
  }
  return out;
}

}  // namespace sluice::observe
