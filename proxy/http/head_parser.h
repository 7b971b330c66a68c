// Head parser: the bytes of an HTTP/1.x head become a RequestHead or ResponseHead, strictly by the
// grammar of RFC 9112 §2-§5 and RFC 9110 §5: what we are not sure of is refused, never repaired.
// Refused are bare CR or LF, NUL and other controls, obs-fold, space before a colon, names that are
// no token, versions other than 1.0 and 1.1 (a higher 1.x minor counts as 1.1). A head is parsed
// once it is whole and contiguous; its bytes are copied into the head's arena in one go. Pure
// functions; any thread.
//
// Not llhttp: its dialect differs between the versions Debian ships, it knows only its own list of
// methods, and it frames bodies by rules of its own, where only one opinion (http/framing) may
// exist.
#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/http/framing.h"
#include "proxy/http/message.h"

namespace sluice::http {

struct HeadLimits {
  size_t line = 16 * 1024;
  size_t block = 64 * 1024;  // all field lines together
  uint32_t count = 200;
};

// Parses the head at the start of `bytes`. Returns how many bytes it took; 0 when more are needed.
// `scanned` remembers how far the end has been searched for, between calls with a growing `bytes`;
// start with 0. One or more empty lines before a request line are skipped (§2.2; bounded).
// Does not frame: call frame_request / frame_response on the result.
// Faults: 400 malformed_*, 414 request_line_too_long, 431 headers_too_large | too_many_headers,
// 505 version.
HeadResult<size_t> parse_request_head(std::string_view bytes, const HeadLimits& limits,
                                      size_t& scanned, RequestHead& into);
HeadResult<size_t> parse_response_head(std::string_view bytes, const HeadLimits& limits,
                                       size_t& scanned, ResponseHead& into);
// The field lines after a last chunk, up to and including the empty line.
HeadResult<size_t> parse_trailers(std::string_view bytes, const HeadLimits& limits, size_t& scanned,
                                  Headers& into);

}  // namespace sluice::http
