// Template: a field value with variables in it, read once, filled in for each exchange. Const and
// shared by all workers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/filter/filter.h"

namespace sluice::plugins {

class Template {
 public:
  // Faults (in the error's detail): an unknown variable, bytes that no field value may have.
  static Result<Template> parse(std::string_view text);

  bool is_literal() const { return parts_.empty(); }
  // The value; in `arena` unless literal. What comes out is a valid field value when what went into
  // the heads was: the codecs see to that.
  std::string_view fill(filter::FilterHost& host, const http::RequestHead& head,
                        Arena& arena) const;

 private:
  enum class Variable : uint8_t { kNone, kHost, kClientAddress, kRequestId, kScheme, kPath };
  struct Part {
    std::string literal;  // before the variable
    Variable variable = Variable::kNone;
  };
  static Variable variable_of(std::string_view name);
  static std::string_view value_of(Variable variable, filter::FilterHost& host,
                                   const http::RequestHead& head);

  std::string literal_;      // the whole value when there are no parts
  std::vector<Part> parts_;  // bounded by the length of the configured text
};

}  // namespace sluice::plugins
