// FastCGI as an application has it: a request's records read, an answer's written. For tests only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::testing {

inline std::string fastcgi_record(int type, std::string_view content, size_t padding = 0,
                                  int id = 1, int version = 1) {
  std::string bytes;
  for (const size_t byte :
       {static_cast<size_t>(version), static_cast<size_t>(type), size_t{0}, static_cast<size_t>(id),
        content.size() >> 8, content.size() & 255, padding, size_t{0}}) {
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes.append(content).append(padding, 'p');
}

inline std::string fastcgi_out(std::string_view text, size_t padding = 0) {
  return fastcgi_record(6, text, padding);
}
inline std::string fastcgi_err(std::string_view text) {
  return fastcgi_record(7, text);
}
inline std::string fastcgi_end(int status = 0, int application = 0) {
  const std::string body{
      '\0', '\0', '\0', static_cast<char>(application), static_cast<char>(status),
      '\0', '\0', '\0'};
  return fastcgi_record(3, body);
}

struct FastcgiRead {
  std::vector<std::pair<std::string, std::string>> vars;
  std::string body;
  size_t begins = 0;
  size_t params_records = 0;  // with content
  size_t stdin_records = 0;
  bool keeps = false;
  bool params_end = false;
  bool is_whole = false;  // STDIN has ended
  bool is_aborted = false;

  // The value of the only variable of that name; "(none)" or "(many)".
  std::string get(std::string_view name) const {
    std::string found = "(none)";
    for (const auto& [key, value] : vars) {
      if (key == name) found = found == "(none)" ? value : "(many)";
    }
    return found;
  }
};

// As php-fpm reads them: no variable goes on in another record.
inline bool read_fastcgi_vars(std::string_view bytes, FastcgiRead& into) {
  const auto take_size = [&bytes]() -> std::optional<size_t> {
    const auto at = [&bytes](size_t i) {
      return static_cast<size_t>(static_cast<uint8_t>(bytes[i]));
    };
    if (bytes.empty()) return std::nullopt;
    if (at(0) < 128) {
      const size_t size = at(0);
      bytes.remove_prefix(1);
      return size;
    }
    if (bytes.size() < 4) return std::nullopt;
    const size_t size = (at(0) & 0x7f) << 24 | at(1) << 16 | at(2) << 8 | at(3);
    bytes.remove_prefix(4);
    return size;
  };
  while (!bytes.empty()) {
    const auto name = take_size();
    const auto value = name ? take_size() : std::nullopt;
    if (!value || bytes.size() < *name + *value || *name == 0) return false;
    into.vars.emplace_back(bytes.substr(0, *name), bytes.substr(*name, *value));
    bytes.remove_prefix(*name + *value);
  }
  return true;
}

// Nothing: they are no records of one request, in order.
inline std::optional<FastcgiRead> read_fastcgi(std::string_view bytes) {
  FastcgiRead read;
  while (!bytes.empty()) {
    if (bytes.size() < 8 || bytes[0] != 1 || bytes[2] != 0 || bytes[3] != 1) return std::nullopt;
    const auto byte = [&bytes](size_t i) {
      return static_cast<size_t>(static_cast<uint8_t>(bytes[i]));
    };
    const size_t size = byte(4) << 8 | byte(5);
    if (bytes.size() < 8 + size + byte(6)) return std::nullopt;
    const std::string_view content = bytes.substr(8, size);
    const int type = bytes[1];
    bytes.remove_prefix(8 + size + byte(6));
    if ((type == 1) != (read.begins == 0) || read.is_whole != (type == 2 && read.is_whole)) {
      return std::nullopt;
    }
    if (type == 1) {
      if (content.size() != 8 || content[1] != 1) return std::nullopt;
      ++read.begins;
      read.keeps = (content[2] & 1) != 0;
    } else if (type == 2) {
      read.is_aborted = true;
    } else if (type == 4 && !read.params_end) {
      if (content.empty()) read.params_end = true;
      if (!content.empty()) ++read.params_records;
      if (!read_fastcgi_vars(content, read)) return std::nullopt;
    } else if (type == 5 && read.params_end) {
      if (content.empty()) read.is_whole = true;
      if (!content.empty()) ++read.stdin_records;
      read.body += content;
    } else {
      return std::nullopt;
    }
  }
  return read;
}

}  // namespace sluice::testing
