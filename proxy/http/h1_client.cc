#include "proxy/http/h1_client.h"

#include "proxy/http/head_writer.h"

namespace sluice::http {

Status H1Client::write_head(const RequestHead& head, Chain& out) {
  WireFraming wire;
  wire.chunked = head.body.is_unknown();
  write_request_head(head, wire, out);
  return {};
}

}  // namespace sluice::http
