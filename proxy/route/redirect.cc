#include "proxy/route/redirect.h"

#include <utility>

#include "proxy/route/rewrite.h"

namespace sluice::route {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || c == '_';
}

// What a field value may hold here: no controls, no spaces (RFC 3986 §2).
bool is_uri_text(std::string_view text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return true;
}

// "*" has no path to speak of.
std::string_view origin_form(const http::RequestHead& head) {
  return !head.target.empty() && head.target.front() == '/' ? head.target : std::string_view{"/"};
}

}  // namespace

std::optional<Redirect::Variable> Redirect::variable_of(std::string_view name) {
  if (name == "host") return Variable::kHost;
  if (name == "target") return Variable::kTarget;
  if (name == "path") return Variable::kPath;
  if (name == "query") return Variable::kQuery;
  if (name == "rest") return Variable::kRest;
  return std::nullopt;
}

Result<Redirect> Redirect::parse(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::kInvalid, Side::kUs, "is empty, say where to go");
  if (!is_uri_text(text)) {
    return fail(ErrorCode::kInvalid, Side::kUs, "holds a space or what is not ASCII; %-encode it");
  }
  Redirect redirect;
  Part part;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '$') {
      part.text += text[at++];
      continue;
    }
    size_t end = ++at;
    while (end < text.size() && is_name_char(text[end])) ++end;
    const auto name = text.substr(at, end - at);
    const auto variable = variable_of(name);
    if (!variable) {
      return fail(
          ErrorCode::kInvalid, Side::kUs,
          "no variable \"$" + std::string{name} + "\"; there are $host $target $path $query $rest");
    }
    part.variable = *variable;
    redirect.parts_.push_back(std::exchange(part, Part{}));
    at = end;
  }
  if (!part.text.empty()) redirect.parts_.push_back(std::move(part));
  return redirect;
}

std::string_view Redirect::value_of(Variable variable, const http::RequestHead& head,
                                    size_t matched, Arena& arena) {
  const auto target = origin_form(head);
  switch (variable) {
    case Variable::kNone:
      break;
    case Variable::kHost:
      return host_of(head.authority);
    case Variable::kTarget:
      return target;
    case Variable::kPath:
      return target.substr(0, target.find('?'));
    case Variable::kQuery:
      return head.query;
    case Variable::kRest:
      return target_rest(target, matched, arena);
  }
  return {};
}

std::optional<std::string_view> Redirect::location(const http::RequestHead& head, size_t matched,
                                                   Arena& arena) const {
  std::string out;
  for (const Part& part : parts_) {
    const auto value = value_of(part.variable, head, matched, arena);
    if (part.variable == Variable::kHost && value.empty()) return std::nullopt;
    out.append(part.text).append(value);
    // "/new?$query" without a query is "/new".
    if (part.variable == Variable::kQuery && value.empty() && out.ends_with('?')) out.pop_back();
  }
  if (out.empty()) out = "/";
  std::string_view location = out;
  // A client's "//evil.example" must not become the address of another host.
  const bool from_client = !parts_.empty() && parts_.front().text.size() < 2;
  while (from_client && location.size() > 1 && location[0] == '/' &&
         (location[1] == '/' || location[1] == '\\')) {
    location.remove_prefix(1);
  }
  return arena.copy(location);
}

}  // namespace sluice::route
