#include "proxy/config/expand.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "proxy/base/result.h"

namespace sluice::config {
namespace {

constexpr int kMostDepth = 8;               // defaults in defaults
constexpr size_t kLongestValue = 1 << 20;   // of one scalar
constexpr std::string_view kSecret = "poll.authorization";  // no fault repeats what it holds

bool is_name(std::string_view text) {
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// The '}' that belongs to the "${" before `from`.
size_t closing_brace(std::string_view text, size_t from) {
  int open = 1;
  for (size_t i = from; i < text.size(); ++i) {
    if (text.substr(i, 2) == "${") ++open;
    if (text[i] == '}' && --open == 0) return i;
  }
  return std::string_view::npos;
}

tl::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(detail));
}

Result<std::string> expand_text(std::string_view text, const Environment& environment, int depth);

Result<std::string> value_of(std::string_view inner, const Environment& environment, int depth) {
  const auto separator = inner.find(":-");
  const auto name = inner.substr(0, separator);
  if (!is_name(name)) {
    return wrong(fmt::format("\"${{{}}}\" names no variable; write ${{NAME}} or "
                             "${{NAME:-default}}, and $${{ for a plain ${{", inner));
  }
  const auto value = environment(name);
  if (separator == std::string_view::npos) {
    if (value) return *value;
    return wrong(
        fmt::format("the environment has no {0}; set it, or write ${{{0}:-default}}", name));
  }
  if (value && !value->empty()) return *value;
  return expand_text(inner.substr(separator + 2), environment, depth + 1);
}

Result<std::string> expand_text(std::string_view text, const Environment& environment, int depth) {
  if (depth > kMostDepth) return wrong("has defaults within defaults beyond reason");
  std::string out;
  while (!text.empty()) {
    const auto dollar = text.find("${");
    if (dollar == std::string_view::npos) return out.append(text);
    if (dollar > 0 && text[dollar - 1] == '$') {
      out.append(text.substr(0, dollar - 1)).append("${");
      text.remove_prefix(dollar + 2);
      continue;
    }
    const auto end = closing_brace(text, dollar + 2);
    if (end == std::string_view::npos) return wrong("has a ${ without its }; $${ is a plain ${");
    const auto inner = text.substr(dollar + 2, end - dollar - 2);
    const auto value = value_of(inner, environment, depth);
    if (!value) return value;
    out.append(text.substr(0, dollar)).append(*value);
    if (out.size() > kLongestValue) return wrong("is too long with its variables put in");
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace

std::optional<std::string> process_environment(std::string_view name) {
  const char* value = std::getenv(std::string{name}.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

void expand(Node& node, const Environment& environment, Faults& faults) {
  if (node.is_scalar() && node.scalar.find("${") != std::string::npos) {
    auto value = expand_text(node.scalar, environment, 0);
    if (value) {
      node.scalar = std::move(*value);
    } else if (node.key.compare(0, kSecret.size(), kSecret) == 0) {
      faults.add(node, "has a ${ that cannot be filled: set the variable it names, close its }, or "
                       "write $${ for a plain ${");
    } else {
      faults.add(node, value.error().detail);
    }
  }
  for (auto& item : node.items) expand(item, environment, faults);
  for (auto& entry : node.entries) expand(entry.value, environment, faults);
}

}  // namespace sluice::config
