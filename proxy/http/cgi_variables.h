// CgiVariables: what uwsgi and FastCGI alike tell an application of a request: the variables of
// RFC 3875 §4.1. What comes from the client only ever becomes HTTP_*, CONTENT_TYPE, or a value;
// never a name that an application trusts (REMOTE_USER, SCRIPT_NAME, UWSGI_*). Which path is the
// script's is each protocol's own matter. Made for one head, visited as often as wanted: once to
// measure, once to write. Any thread.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/http/message.h"

namespace sluice::http {

// %-decoded once and not normalised: what the application resolves is what the client sent.
// Nothing: a broken escape, or a NUL.
std::optional<std::string> decode_path(std::string_view path);

class CgiVariables {
 public:
  static constexpr std::string_view kFieldPrefix = "HTTP_";

  // Requires: head outlives this; its body is not unknown.
  explicit CgiVariables(const RequestHead& head);

  // pair(name, value) for each that is no field of the request.
  template <typename Pair>
  void visit_fixed(Pair pair) const {
    const RequestOrigin& origin = head_.origin;
    pair("QUERY_STRING", head_.query);
    pair("REQUEST_METHOD", head_.method);
    pair("CONTENT_TYPE", head_.headers.get(HeaderId::kContentType));
    pair("CONTENT_LENGTH", has_length() ? content_length_.view() : std::string_view{});
    pair("REQUEST_URI", head_.target);
    pair("SERVER_PROTOCOL", protocol());
    pair("REQUEST_SCHEME", head_.secure ? "https" : "http");
    if (head_.secure) pair("HTTPS", "on");
    pair("REMOTE_ADDR", origin.client_address);
    pair("REMOTE_PORT", client_port_.view());
    if (!origin.server_address.empty()) pair("SERVER_ADDR", origin.server_address);
    pair("SERVER_PORT", server_port_.view());
    pair("SERVER_NAME", server_name());
    if (!host().empty()) pair("HTTP_HOST", host());
  }

  // begin(field name, size of the value), then part(bytes) for each piece of the value. Repeated
  // fields become one variable: an application sees only one of several, and not each the same one.
  template <typename Begin, typename Part>
  void visit_fields(Begin begin, Part part) const {
    const Headers& headers = head_.headers;
    for (auto field = headers.begin(); field != headers.end(); ++field) {
      if (!is_passed(*field)) continue;
      const auto is_same = [field](const auto& other) { return is_same_name(*field, other); };
      if (std::any_of(headers.begin(), field, is_same)) continue;
      const std::string_view joint = field->id == HeaderId::kCookie ? "; " : ", ";
      size_t size = field->value.size();
      for (auto next = field + 1; next != headers.end(); ++next) {
        if (is_same(*next)) size += joint.size() + next->value.size();
      }
      begin(field->name, size);
      part(field->value);
      for (auto next = field + 1; next != headers.end(); ++next) {
        if (!is_same(*next)) continue;
        part(joint);
        part(next->value);
      }
    }
  }

 private:
  class Number {
   public:
    explicit Number(uint64_t value)
        : size_(static_cast<size_t>(
              std::to_chars(text_.data(), text_.data() + text_.size(), value).ptr - text_.data())) {
    }
    std::string_view view() const { return {text_.data(), size_}; }

   private:
    std::array<char, 24> text_;
    size_t size_;
  };

  static bool is_passed(const Headers::Field& field);
  static bool is_same_name(const Headers::Field& a, const Headers::Field& b);
  bool has_length() const { return head_.body.kind == BodySize::Kind::kExact; }
  std::string_view protocol() const;
  std::string_view server_name() const;
  std::string_view host() const;

  const RequestHead& head_;
  // Both passes see the same words; what costs work is computed once.
  const Number content_length_;
  const Number client_port_;
  const Number server_port_;
};

// Writes words one behind the other into room that was measured.
class CgiPen {
 public:
  explicit CgiPen(char* at) : at_(at) {}
  void put(std::string_view text) {
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void put_byte(size_t byte) { *at_++ = static_cast<char>(byte & 0xff); }
  // User-Agent as HTTP_USER_AGENT.
  void put_field_name(std::string_view name) {
    put(CgiVariables::kFieldPrefix);
    for (const char c : name) {
      const bool lower = c >= 'a' && c <= 'z';
      *at_++ = c == '-' ? '_' : lower ? static_cast<char>(c - 32) : c;
    }
  }

 protected:
  char* at_;
};

}  // namespace sluice::http
