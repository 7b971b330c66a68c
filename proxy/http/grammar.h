// Grammar: the character classes of RFC 9110 §5.5-§5.6 as tables, and the one scan that every field
// value takes. Internal to http/. Pure functions; any thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::http {

using ByteClass = std::array<bool, 256>;

constexpr ByteClass make_class(std::string_view members, bool alnum) {
  ByteClass table{};
  for (const char c : members) table[static_cast<unsigned char>(c)] = true;
  for (unsigned c = 0; alnum && c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || (c >= '0' && c <= '9')) table[c] = true;
  }
  return table;
}

inline constexpr ByteClass kTchar = make_class("!#$%&'*+-.^_`|~", true);

constexpr bool is_tchar(char c) {
  return kTchar[static_cast<unsigned char>(c)];
}
// HTAB, SP, VCHAR, obs-text: what may stand inside a field value or a reason.
constexpr bool is_field_byte(char c) {
  const auto b = static_cast<unsigned char>(c);
  return (b >= 0x20 && b != 0x7f) || b == '\t';
}

constexpr bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!is_tchar(c)) return false;
  }
  return !text.empty();
}

// The first byte of [at, end) that may not stand in a field value; eight bytes a step.
inline const char* skip_field_bytes(const char* at, const char* end) {
  static_assert(std::endian::native == std::endian::little);
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHigh = kOnes * 0x80;
  while (end - at >= 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    const uint64_t below_space = (word - kOnes * 0x20) & ~word;
    const uint64_t flipped = word ^ (kOnes * 0x7f);
    // A borrow can only flag bytes above a true hit, so the lowest flag is right.
    const uint64_t hits = (below_space | ((flipped - kOnes) & ~flipped)) & kHigh;
    if (hits == 0) {
      at += 8;
      continue;
    }
    at += std::countr_zero(hits) / 8;
    if (*at != '\t') return at;
    ++at;
  }
  while (at != end && is_field_byte(*at)) ++at;
  return at;
}

}  // namespace sluice::http
