#include "proxy/route/precompressed.h"

#include <algorithm>
#include <optional>

#include "proxy/base/text.h"

namespace sluice::route {
namespace {

constexpr std::array<SiblingKind, SiblingChoice::kMost> kKinds = {
    {{".br", "br"}, {".zst", "zstd"}, {".gz", "gzip"}}};

// Thousandths: "0.5" is 500 (RFC 9110 §12.4.2). nullopt: no weight by the grammar.
std::optional<int> parse_weight(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int value = (text[0] - '0') * 1000;
  int unit = 100;
  for (const char c : text.substr(std::min<size_t>(2, text.size()))) {
    if (!is_digit(c)) return std::nullopt;
    value += (c - '0') * unit;
    unit /= 10;
  }
  return value > 1000 ? std::nullopt : std::optional<int>{value};
}

struct Coding {
  std::string_view name;
  int weight = 1000;
};

// nullopt for what is not by the grammar: then it does not count.
std::optional<Coding> parse_coding(std::string_view element) {
  const auto semicolon = element.find(';');
  Coding coding{trim_ows(element.substr(0, semicolon))};
  if (semicolon == std::string_view::npos) return coding;
  const auto parameter = trim_ows(element.substr(semicolon + 1));
  if (parameter.size() < 2 || ascii_lower(parameter[0]) != 'q' || parameter[1] != '=') {
    return std::nullopt;
  }
  const auto weight = parse_weight(parameter.substr(2));
  if (!weight) return std::nullopt;
  coding.weight = *weight;
  return coding;
}

constexpr int kUnsaid = -1;

struct Weights {
  std::array<int, SiblingChoice::kMost> kinds{kUnsaid, kUnsaid, kUnsaid};
  int identity = kUnsaid;
  int others = kUnsaid;  // "*"
};

void note(std::string_view element, Weights& weights) {
  const auto coding = parse_coding(element);
  if (!coding) return;
  if (coding->name == "*") weights.others = coding->weight;
  if (iequals(coding->name, "identity")) weights.identity = coding->weight;
  const bool old_gzip = iequals(coding->name, "x-gzip");  // RFC 9110 §8.4.1.3
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (iequals(coding->name, kKinds[i].encoding) || (old_gzip && kKinds[i].encoding == "gzip")) {
      weights.kinds[i] = coding->weight;
    }
  }
}

}  // namespace

SiblingChoice acceptable_siblings(const http::Headers& request) {
  SiblingChoice choice;
  Weights weights;
  for (const auto& field : request) {
    if (field.id != http::HeaderId::kAcceptEncoding) continue;
    for_each_element(field.value, [&weights](std::string_view element) { note(element, weights); });
  }
  std::array<int, SiblingChoice::kMost> chosen{};
  // The plain file stands behind everything that is accepted, unless it is asked for more.
  const int least = std::max(1, weights.identity);
  for (size_t i = 0; i < kKinds.size(); ++i) {
    const int weight = weights.kinds[i] == kUnsaid ? weights.others : weights.kinds[i];
    if (weight < least) continue;
    size_t at = choice.count++;
    for (; at > 0 && chosen[at - 1] < weight; --at) {
      chosen[at] = chosen[at - 1];
      choice.kinds[at] = choice.kinds[at - 1];
    }
    chosen[at] = weight;
    choice.kinds[at] = kKinds[i];
  }
  return choice;
}

}  // namespace sluice::route
