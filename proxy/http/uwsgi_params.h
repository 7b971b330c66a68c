// uwsgi params: a request head becomes the packet of CGI variables that uWSGI and gunicorn read.
// What comes from the client only ever becomes HTTP_*, CONTENT_TYPE, or a value; never a name that
// an application trusts (REMOTE_USER, SCRIPT_NAME, UWSGI_*). Pure functions; any thread.
#pragma once

#include "proxy/base/chain.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"

namespace sluice::http {

// What uWSGI's limits are compared with.
struct UwsgiPacket {
  size_t size = 0;  // of the block, without the four bytes before it
  size_t pairs = 0;
};

// Faults: kTooLarge when the block is over 65535 bytes, kMalformed when the path holds a NUL or a
// broken escape; both are the client's.
// Requires: head.body is not unknown.
Result<UwsgiPacket> write_uwsgi_packet(const RequestHead& head, Chain& out);

}  // namespace sluice::http
