// H2Head: the fields of one HEADERS block, as they come out of HPACK, become a RequestHead that is
// as strict as one parsed from HTTP/1.1 (RFC 9113 §8.2, §8.3): what goes on as HTTP/1.1 or uwsgi
// cannot mean two things. nghttp2 has refused before what breaks the grammar of HTTP/2 itself
// (pseudo fields, uppercase, connection-specific fields); the rest is decided by the same functions
// as for HTTP/1.1 (http/target, http/framing). Ceilings are kept while fields come: what is over
// them is not stored. Then the way back: a ResponseHead as fields. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "proxy/http/framing.h"
#include "proxy/http/head_parser.h"
#include "proxy/http/message.h"

namespace sluice::http {

class H2Head {
 public:
  // One field. False: so much was sent that whoever sends it means harm.
  bool add(std::string_view name, std::string_view value, const HeadLimits& limits);
  // The head, once all fields are in. `ends`: the stream ended with it, there is no body.
  HeadResult<void> finish(bool ends);
  RequestHead& head() { return head_; }

  // A trailer section; after it take_trailers().
  void begin_trailers();
  bool add_trailer(std::string_view name, std::string_view value, const HeadLimits& limits);
  bool are_trailers_faulty() const { return trailer_fault_.status != 0; }
  Headers& trailers() { return trailers_; }

 private:
  bool add_pseudo(std::string_view name, std::string_view value, const HeadLimits& limits);
  bool measure(std::string_view name, std::string_view value, const HeadLimits& limits,
               HeadFault& fault);
  void join_cookies();
  HeadResult<void> settle_host();

  RequestHead head_;
  Headers trailers_;
  std::string_view path_;  // in head_'s arena, as the other pseudo fields
  std::string_view scheme_;
  std::string_view authority_;
  size_t line_ = 0;  // bytes of :method and :path
  size_t block_ = 0;
  uint32_t count_ = 0;
  uint32_t cookies_ = 0;
  HeadFault fault_{0, {}};
  HeadFault trailer_fault_{0, {}};
};

// A field as nghttp2 takes it; the views have to stay until it is submitted. The name in any case:
// RFC 9113 §8.2 wants lower, nghttp2 makes it so.
inline nghttp2_nv h2_field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// The fields of an answer's head, :status first. `scratch` keeps the numbers.
struct H2Numbers {
  char status[3];
  char length[20];
};
void list_response_fields(const ResponseHead& head, std::string_view date, H2Numbers& scratch,
                          std::vector<nghttp2_nv>& into);

}  // namespace sluice::http
