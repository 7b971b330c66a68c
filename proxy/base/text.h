// Small things about ASCII text that std has not. Pure functions; locale-free; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// -1 when c is no hex digit.
constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char l = ascii_lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool iequals(std::string_view a, std::string_view b);
std::string to_lower(std::string_view text);
// SP and HTAB only (RFC 9110 §5.6.3, OWS).
std::string_view trim_ows(std::string_view text);
// All of text is 1*DIGIT and fits; no sign, no space.
std::optional<uint64_t> parse_decimal(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);
// Visits the trimmed, non-empty elements of a comma list (RFC 9110 §5.6.1).
template <typename Visit>
void for_each_element(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    const auto element = trim_ows(list.substr(0, comma));
    if (!element.empty()) visit(element);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
}
// For a line of a log: a backslash, controls and what is not ASCII as \\, \n, \t or \xNN.
std::string escaped(std::string_view text);
// Levenshtein distance, for "did you mean".
size_t edit_distance(std::string_view a, std::string_view b);
// Whether the comma list has this element, ASCII case ignored.
bool list_has(std::string_view list, std::string_view element);

}  // namespace sluice
