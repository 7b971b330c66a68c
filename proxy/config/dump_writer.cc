#include "proxy/config/dump_writer.h"

#include <algorithm>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/units.h"

namespace sluice::config {

void Writer::line(int depth, std::string_view key, std::string_view value) {
  out_.append(static_cast<size_t>(depth) * 2, ' ').append(key).append(":");
  if (!value.empty()) out_.append(" ").append(value);
  out_ += '\n';
}

// "${" would be taken for a variable.
std::string quote(std::string_view text) {
  const bool is_plain = !text.empty() && text != "null" &&
                        std::all_of(text.begin(), text.end(), [](char c) {
                          return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
                                 c == '/' || c == '.' || c == '_';
                        });
  if (is_plain) return std::string{text};
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      if (text.substr(i, 2) == "${") out += '$';
      out += c;
    }
  }
  return out + "\"";
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + quote(text);
  return "[" + out + "]";
}

std::string or_word(uint64_t number, std::string_view zero) {
  return number == 0 ? std::string{zero} : fmt::format("{}", number);
}
std::string or_word(Bytes bytes, std::string_view zero) {
  return bytes.count == 0 ? std::string{zero} : format_bytes(bytes);
}
std::string or_word(Duration duration, std::string_view zero) {
  return duration.count() == 0 ? std::string{zero} : format_duration(duration);
}
std::string percent_or_off(uint32_t percent) {
  return percent == 0 ? "off" : fmt::format("{}%", percent);
}
std::string_view on_off(bool flag) { return flag ? "on" : "off"; }

void write_buffering(Writer& w, int depth, const Buffering& b) {
  w.line(depth, "buffering",
         fmt::format("{{request: {}, response: {}, memory: {}, disk: {}}}", on_off(b.request),
                     on_off(b.response), format_bytes(b.memory), format_bytes(b.disk)));
}

}  // namespace sluice::config
