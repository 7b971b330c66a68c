// Framing: every rule that keeps two parties from disagreeing about where a message ends (RFC 9112
// §6, §11.2; RFC 9110 §7.6, §8.6). Called by each h1-like codec right after the head was parsed. It
// decides the body's size, answers whether the connection can be kept, and takes the fields of this
// hop out of the head: Content-Length, Transfer-Encoding, Connection and what it nominates (never
// Host, Content-*, nor what sluice itself sets), Keep-Alive, Proxy-Connection, TE, Trailer,
// Upgrade, HTTP2-Settings, Expect: 100-continue. Pure functions; any thread.
#pragma once

#include <string_view>

#include <tl/expected.hpp>

#include "proxy/http/message.h"

namespace sluice::http {

// Why a head was refused: the status for the client and a word for log and metrics; static text.
struct HeadFault {
  int status = 400;
  std::string_view reason;
};

template <typename T>
using HeadResult = tl::expected<T, HeadFault>;

enum class BodyFraming : uint8_t { kNone, kLength, kChunked, kUntilClose };

struct MessageFraming {
  BodyFraming body = BodyFraming::kNone;
  bool keep_alive = true;  // as far as this message says
};

// Sets head.body, head.expects_continue, head.upgrade. Faults: both Transfer-Encoding and
// Content-Length, any coding but a single final "chunked" (501 for an unknown one before chunked,
// else 400), Transfer-Encoding in HTTP/1.0, bad, repeated-and-different or list Content-Length,
// missing, repeated or invalid Host, ...
HeadResult<MessageFraming> frame_request(RequestHead& head);

// Sets head.body, head.declared_length, head.upgrade. `method` is the request's; `upgrade_asked`
// the protocol it asked for (empty: none): a 101 nobody asked for is a fault.
HeadResult<MessageFraming> frame_response(ResponseHead& head, std::string_view method,
                                          std::string_view upgrade_asked);

// A Host or authority as RFC 3986 §3.2 lets it be: reg-name, IPv4 or [IPv6], optional port; no
// userinfo, list, space, path. Empty is not valid here.
bool is_valid_authority(std::string_view authority);

// Fields that may stand in a trailer section and be passed on (RFC 9110 §6.5.1): drops the others.
void keep_only_trailer_fields(Headers& trailers);

}  // namespace sluice::http
