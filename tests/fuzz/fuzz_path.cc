// Any bytes as a request target and as a path. A normal path has no dot or empty segments, decodes
// no slash, holds no NUL; encoding it again and normalising that changes nothing.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/http/target.h"

using namespace sluice;
using namespace sluice::http;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string encode(std::string_view path) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || (c > ' ' && c < 0x7f && c != '%' && c != '.')) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

void check_path(std::string_view raw) {
  Arena arena;
  const auto path = normalize_path(raw, arena);
  if (!path) return;
  require(!path->empty() && path->front() == '/' && path->size() <= raw.size());
  require(raw.find('\0') != std::string_view::npos || path->find('\0') == std::string_view::npos);
  for (size_t at = 0; at != std::string_view::npos; at = path->find('/', at + 1)) {
    const size_t next = path->find('/', at + 1);
    const std::string_view segment = path->substr(at + 1, next - at - 1);
    require(segment != "." && segment != "..");
    require(!segment.empty() || next == std::string_view::npos);
  }
  if (path->find('\0') != std::string_view::npos) return;  // it was there raw
  const std::string encoded = encode(*path);
  const auto again = normalize_path(encoded, arena);
  require(again.has_value() && *again == *path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  const std::string_view raw{reinterpret_cast<const char*>(data), size};
  check_path(raw);
  for (const std::string_view method : {"GET", "OPTIONS"}) {
    RequestHead head;
    head.method = method;
    if (!parse_target(raw, head)) continue;
    require(head.target == "*" || head.target.front() == '/');
    require(head.target.find_first_of(" \t\r\n#") == std::string_view::npos);
    require(head.authority.empty() || is_valid_authority(head.authority));
    require(raw.front() != '/' || head.target == raw);
  }
  return 0;
}
