#include "plugins/compress/negotiation.h"

#include <algorithm>

#include "proxy/base/text.h"

namespace sluice::plugins {
namespace {

constexpr std::array<std::string_view, 16> kDefaultTypes = {
    "text/*",
    "*+json",
    "*+xml",  // svg, rss, atom, xhtml
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/wasm",
    "application/x-ndjson",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "font/ttf",
    "font/otf",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
};

bool fits(std::string_view pattern, std::string_view type) {
  if (pattern.starts_with("*")) return type.ends_with(pattern.substr(1));
  if (!pattern.ends_with("/*")) return type == pattern;
  return type.starts_with(pattern.substr(0, pattern.size() - 1)) && type != "text/event-stream";
}

// q-values in thousandths (RFC 9110 §12.4.2); nullopt for what is none.
std::optional<int> parse_weight(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int value = text[0] - '0';
  for (size_t i = 2; i < 5; ++i) {
    if (i < text.size() && !is_digit(text[i])) return std::nullopt;
    value = value * 10 + (i < text.size() ? text[i] - '0' : 0);
  }
  if (value > 1000) return std::nullopt;
  return value;
}

struct Preference {
  std::string_view coding;
  int weight = 1000;
};

// "gzip;q=0.5"; what is malformed is not wanted.
Preference parse_preference(std::string_view element) {
  const auto semicolon = element.find(';');
  Preference preference{trim_ows(element.substr(0, semicolon))};
  if (semicolon == std::string_view::npos) return preference;
  const auto parameter = trim_ows(element.substr(semicolon + 1));
  const bool is_weight =
      parameter.size() > 2 && ascii_lower(parameter[0]) == 'q' && parameter[1] == '=';
  preference.weight = is_weight ? parse_weight(parameter.substr(2)).value_or(0) : 0;
  return preference;
}

}  // namespace

TypeList::TypeList() : patterns_(kDefaultTypes.begin(), kDefaultTypes.end()) {}

TypeList::TypeList(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {
  for (auto& pattern : patterns_) pattern = to_lower(pattern);
}

bool TypeList::has(std::string_view content_type) const {
  const auto type = trim_ows(content_type.substr(0, content_type.find(';')));
  char lower[128];
  if (type.empty() || type.size() > sizeof lower) return false;
  std::transform(type.begin(), type.end(), lower, ascii_lower);
  const std::string_view folded{lower, type.size()};
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [folded](const std::string& pattern) { return fits(pattern, folded); });
}

bool TypeList::is_valid(std::string_view pattern) {
  if (pattern.starts_with("*+"))
    return pattern.size() > 2 && pattern.find('/') == std::string_view::npos;
  const auto slash = pattern.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == pattern.size()) return false;
  const auto star = pattern.find('*');
  return star == std::string_view::npos || (star == slash + 1 && star + 1 == pattern.size());
}

std::optional<Coding> negotiate(const http::Headers& request, const std::vector<Coding>& ours) {
  std::array<int, kCodings> weights;
  weights.fill(-1);
  int others = 0;     // "*"
  int identity = -1;  // not said
  for (const auto& field : request) {
    if (field.id != http::HeaderId::kAcceptEncoding) continue;
    for_each_element(field.value, [&weights, &others, &identity](std::string_view element) {
      const auto [coding, weight] = parse_preference(element);
      if (coding == "*") others = weight;
      if (iequals(coding, "identity")) identity = weight;
      for (size_t i = 0; i < kCodings; ++i) {
        const auto name = name_of(static_cast<Coding>(i));
        const bool is_old_gzip = i == 0 && iequals(coding, "x-gzip");  // RFC 9110 §8.4.1.3
        if (iequals(coding, name) || is_old_gzip) weights[i] = weight;
      }
    });
  }
  std::optional<Coding> best;
  int best_weight = std::max(identity, 0);
  for (const Coding coding : ours) {
    const int said = weights[static_cast<size_t>(coding)];
    const int weight = said >= 0 ? said : others;
    // As good as identity is good enough, the first time; then only better.
    if (weight > 0 && (weight > best_weight || (!best && weight == best_weight))) {
      best = coding;
      best_weight = weight;
    }
  }
  return best;
}

}  // namespace sluice::plugins
