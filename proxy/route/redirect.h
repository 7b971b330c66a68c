// Redirect: the Location of a route that sends clients elsewhere, from a text with variables:
//   $host    the request's host without its port      $path   the raw path
//   $target  the raw path and query                   $query  the raw query, without '?'
//   $rest    $target without the prefix the route matched
// Raw means as the client sent it, still %-encoded, so nothing can break out of the field. Part of
// a const Route; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/arena.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"

namespace sluice::route {

class Redirect {
 public:
  Redirect() = default;
  static Result<Redirect> parse(std::string_view text);

  // `matched`: segments of the path that the route's prefix stands for. nullopt: it needs a host
  // and the request has none. The view is in the arena.
  std::optional<std::string_view> location(const http::RequestHead& head, size_t matched,
                                           Arena& arena) const;

 private:
  enum class Variable : uint8_t { kNone, kHost, kTarget, kPath, kQuery, kRest };
  struct Part {
    std::string text;  // literal, before the variable
    Variable variable = Variable::kNone;
  };
  static std::optional<Variable> variable_of(std::string_view name);
  static std::string_view value_of(Variable variable, const http::RequestHead& head, size_t matched,
                                   Arena& arena);

  std::vector<Part> parts_;
};

}  // namespace sluice::route
