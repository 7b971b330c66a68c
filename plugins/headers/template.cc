#include "plugins/headers/template.h"

#include <cstring>

#include <fmt/format.h>

namespace sluice::plugins {
namespace {

tl::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(detail));
}

size_t name_length(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && ((text[n] >= 'a' && text[n] <= 'z') || text[n] == '_')) ++n;
  return n;
}

// RFC 9110 §5.5: visible, obs-text, and inside also SP and HTAB. A codec would have to refuse the
// rest.
Status check_value(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
      return wrong("a field value cannot hold line ends or other control characters");
    }
  }
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  if (!text.empty() && (is_space(text.front()) || is_space(text.back()))) {
    return wrong("a field value cannot begin or end with a space");
  }
  return {};
}

// "example.com:8080" → "example.com", "[::1]:80" → "[::1]".
std::string_view host_of(std::string_view authority) {
  const auto colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  const auto bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && bracket > colon) return authority;
  return authority.substr(0, colon);
}

}  // namespace

Result<Template> Template::parse(std::string_view text) {
  if (auto status = check_value(text); !status) return tl::unexpected(status.error());
  Template made;
  std::string literal;
  while (!text.empty()) {
    const auto dollar = text.find('$');
    literal += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    if (!text.empty() && text.front() == '$') {
      literal += '$';
      text.remove_prefix(1);
      continue;
    }
    const auto name = text.substr(0, name_length(text));
    const Variable variable = variable_of(name);
    if (variable == Variable::kNone) {
      return wrong(
          fmt::format("there is no variable \"${}\"; there are $host, $client_address, "
                      "$request_id, $scheme and $path (and $$ for a dollar)",
                      name));
    }
    made.parts_.push_back({std::move(literal), variable});
    literal.clear();
    text.remove_prefix(name.size());
  }
  if (made.parts_.empty()) {
    made.literal_ = std::move(literal);
  } else if (!literal.empty()) {
    made.parts_.push_back({std::move(literal), Variable::kNone});
  }
  return made;
}

Template::Variable Template::variable_of(std::string_view name) {
  if (name == "host") return Variable::kHost;
  if (name == "client_address") return Variable::kClientAddress;
  if (name == "request_id") return Variable::kRequestId;
  if (name == "scheme") return Variable::kScheme;
  if (name == "path") return Variable::kPath;
  return Variable::kNone;
}

std::string_view Template::value_of(Variable variable, filter::FilterHost& host,
                                    const http::RequestHead& head) {
  switch (variable) {
    case Variable::kNone:
      return {};
    case Variable::kHost:
      return host_of(head.authority);
    case Variable::kClientAddress:
      return host.client_address();
    case Variable::kRequestId:
      return head.headers.get(http::HeaderId::kXRequestId);
    case Variable::kScheme: {
      // As the client called it: the exchange has left only what it believes in this field.
      const auto said = head.headers.get(http::HeaderId::kXForwardedProto);
      return said == "https" || (said.empty() && head.secure) ? "https" : "http";
    }
    // Not head.path: what is decoded may hold any byte.
    case Variable::kPath:
      return head.target.substr(0, head.target.find('?'));
  }
  return {};
}

std::string_view Template::fill(filter::FilterHost& host, const http::RequestHead& head,
                                Arena& arena) const {
  if (parts_.empty()) return literal_;
  size_t size = 0;
  for (const auto& part : parts_) {
    size += part.literal.size() + value_of(part.variable, host, head).size();
  }
  char* const begin = arena.allocate(size);
  char* at = begin;
  const auto put = [&at](std::string_view text) {
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
  };
  for (const auto& part : parts_) {
    put(part.literal);
    put(value_of(part.variable, host, head));
  }
  return {begin, size};
}

}  // namespace sluice::plugins
