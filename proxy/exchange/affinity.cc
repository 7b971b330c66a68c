#include "proxy/exchange/affinity.h"

#include <fmt/format.h>

#include "proxy/base/hash.h"

namespace sluice::exchange {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

// HTTP/2 may split the field (RFC 9113 §8.2.3), so each is looked at.
std::string_view cookie_of(const http::Headers& headers, std::string_view name) {
  for (const auto& field : headers) {
    if (field.id != http::HeaderId::kCookie) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(';'), rest.size());
      const std::string_view pair = trimmed(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      const size_t equals = pair.find('=');
      if (equals == name.size() && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return {};
}

std::optional<uint64_t> hash_key(const config::HashKey& by, const http::RequestHead& request,
                                 std::string_view client) {
  std::string_view text;
  switch (by.kind) {
    case config::HashKey::Kind::kAddress: text = client; break;
    case config::HashKey::Kind::kHeader: text = request.headers.get(by.name); break;
    case config::HashKey::Kind::kCookie: text = cookie_of(request.headers, by.name); break;
  }
  if (text.empty()) return std::nullopt;
  return stable_hash(text);
}

std::string sticky_value(std::string_view upstream, std::string_view endpoint) {
  return fmt::format("{:016x}", stable_hash(endpoint, stable_hash(upstream)));
}

std::string sticky_cookie(const config::Sticky& config, std::string_view value, bool secure) {
  std::string text = fmt::format("{}={}; Path=/; HttpOnly; SameSite=Lax", config.cookie, value);
  if (secure) text += "; Secure";
  if (config.age > Duration{0}) {
    text += fmt::format("; Max-Age={}",
                        std::chrono::duration_cast<std::chrono::seconds>(config.age).count());
  }
  return text;
}

}  // namespace sluice::exchange
