// FastCGI: which script a path means to the application, and what it is told besides.
#include <algorithm>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr size_t kMostParams = 200;
constexpr size_t kLongestParam = 8192;

bool is_variable(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return is_digit(c) || c == '_' || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
         });
}

// Why this variable cannot be set; empty: it can.
std::string fault_of(std::string_view name, std::string_view value) {
  if (!is_variable(name)) {
    return fmt::format("\"{}\" is no name of a variable: letters, digits, _", name);
  }
  if (name.substr(0, 5) == "HTTP_") {
    return fmt::format("{} is a field of the request; set it by a route's filter: headers", name);
  }
  if (name == "CONTENT_LENGTH") return "CONTENT_LENGTH says how long the body is, and only that";
  if (value.size() > kLongestParam) return fmt::format("{} is over 8 KiB", name);
  if (value.find('\0') != std::string_view::npos) return fmt::format("{} holds a NUL", name);
  return {};
}

void read_params(MapReader& map, Fastcgi& into) {
  std::map<std::string, std::string> params;
  map.texts("params", params);
  if (params.size() > kMostParams) {
    map.fault("params", fmt::format("are {}; {} at most", params.size(), kMostParams));
  }
  for (const auto& [name, value] : params) {
    const std::string fault = fault_of(name, value);
    if (!fault.empty()) map.fault("params", fault);
    into.params.emplace(name, value);
  }
}

}  // namespace

void read_fastcgi(MapReader& map, Fastcgi& into) {
  map.text("root", into.root);
  if (map.has("root")) check_absolute(map, "root", into.root);
  while (into.root.size() > 1 && into.root.back() == '/') into.root.pop_back();
  map.text("index", into.index);
  if (into.index.substr(0, 1) == "/" || into.index.find("..") != std::string::npos) {
    map.fault("index", fmt::format("\"{}\" is not below root; write index.php", into.index));
  }
  map.text("split", into.split);
  if (into.split.find('/') != std::string::npos) {
    map.fault("split", fmt::format("\"{}\" is no end of a file's name; write .php", into.split));
  }
  read_params(map, into);
  map.flag("keep", into.keep);
  map.bytes("stderr", into.remarks, 1_B, "off");
}

}  // namespace sluice::config
