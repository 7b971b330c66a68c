// The reading side of a uwsgi packet, as an application has it: for tests only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::testing {

struct UwsgiRead {
  std::vector<std::pair<std::string, std::string>> vars;
  std::string rest;  // the body, as far as it is there

  // The value of the only variable of that name; "(none)" or "(many)".
  std::string get(std::string_view name) const {
    std::string found = "(none)";
    for (const auto& [key, value] : vars) {
      if (key == name) found = found == "(none)" ? value : "(many)";
    }
    return found;
  }
};

inline std::optional<UwsgiRead> read_uwsgi(std::string_view bytes) {
  const auto number = [&bytes](size_t at) {
    return static_cast<size_t>(static_cast<unsigned char>(bytes[at])) |
           static_cast<size_t>(static_cast<unsigned char>(bytes[at + 1])) << 8;
  };
  if (bytes.size() < 4 || bytes[0] != 0 || bytes[3] != 0) return std::nullopt;
  const size_t end = 4 + number(1);
  if (end > bytes.size()) return std::nullopt;
  UwsgiRead read;
  for (size_t at = 4; at < end;) {
    std::string words[2];
    for (std::string& word : words) {
      if (end - at < 2) return std::nullopt;
      const size_t size = number(at);
      at += 2;
      if (end - at < size) return std::nullopt;
      word = bytes.substr(at, size);
      at += size;
    }
    if (words[0].empty()) return std::nullopt;
    read.vars.emplace_back(std::move(words[0]), std::move(words[1]));
  }
  read.rest = bytes.substr(end);
  return read;
}

}  // namespace sluice::testing
