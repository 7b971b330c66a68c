// Head writer: heads become HTTP/1.1 bytes at the end of a chain, in one contiguous run. The
// framing fields are written from head.body; fields are written in order as they are. Pure
// functions.
#pragma once

#include <string_view>

#include "proxy/base/chain.h"
#include "proxy/base/clock.h"
#include "proxy/http/message.h"

namespace sluice::http {

struct WireFraming {
  bool chunked = false;     // the body is sent chunked: Transfer-Encoding is written
  bool close = false;       // Connection: close
  bool keep_alive = false;  // Connection: keep-alive (towards HTTP/1.0)
  bool to_head = false;     // answers HEAD: no body must not be said as "Content-Length: 0"
  bool begun = false;       // kProtocol went out before
};

// What every answer begins with.
constexpr std::string_view kProtocol = "HTTP/1.1 ";

// "GET /x HTTP/1.1", Host first (the field when there is one, else the authority), the fields,
// framing, CRLF.
void write_request_head(const RequestHead& head, const WireFraming& framing, Chain& out);
// `date` (IMF-fixdate) is written when head has no Date (RFC 9110 §6.6.1); empty: none.
void write_response_head(const ResponseHead& head, const WireFraming& framing,
                         std::string_view date, Chain& out);
void write_chunk_size(uint64_t size, Chain& out);            // "1f\r\n"
void write_last_chunk(const Headers& trailers, Chain& out);  // "0\r\n" trailers "\r\n"

// The current IMF-fixdate; formatted once a second per thread.
std::string_view http_date(TimePoint now);

}  // namespace sluice::http
