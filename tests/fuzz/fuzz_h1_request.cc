// Any bytes as a stream of HTTP/1 requests. Whatever is accepted must be the same when it comes in
// pieces, and a head written from it must be read as the same head again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/http/head_writer.h"
#include "tests/unit/http/played.h"

using namespace sluice;
using namespace sluice::http;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void require_same(const Headers& a, const Headers& b) {
  require(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    require(a.begin()[static_cast<long>(i)].name == b.begin()[static_cast<long>(i)].name);
    require(a.begin()[static_cast<long>(i)].value == b.begin()[static_cast<long>(i)].value);
  }
}

void require_same(const Played& a, const Played& b) {
  require(a.requests.size() == b.requests.size());
  require((a.fault.status != 0) == (b.fault.status != 0));
  for (size_t i = 0; i < a.requests.size(); ++i) {
    require(a.requests[i].head.target == b.requests[i].head.target);
    require(a.requests[i].body == b.requests[i].body);
    require_same(a.requests[i].head.headers, b.requests[i].head.headers);
    require_same(a.requests[i].trailers, b.requests[i].trailers);
  }
}

void require_rewritable(const PlayedRequest& request) {
  const RequestHead& head = request.head;
  require(head.method.find_first_of(" \r\n") == std::string_view::npos);
  require(head.path.empty() || head.path.front() == '/' || head.path == "*");
  Chain out;
  write_request_head(head, {.chunked = head.body.is_unknown()}, out);
  std::string bytes = out.to_string();
  size_t scanned = 0;
  RequestHead again;
  const auto taken = parse_request_head(bytes, {.count = 201}, scanned, again);
  // HTTP/1.0 may lack a Host, which is written as an empty one, and that is never accepted again.
  require(taken.has_value() && *taken == bytes.size());
  if (head.authority.empty()) return;
  const auto framing = frame_request(again);
  require(framing.has_value());
  require(again.method == head.method && again.target == head.target);
  require(again.path == head.path && again.query == head.query);
  require(again.authority == head.authority && again.upgrade == head.upgrade);
  require(again.body.kind == head.body.kind && again.body.length == head.body.length);
  require(again.headers.size() == head.headers.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 16 * 1024) return 0;
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const HeadLimits limits{.line = 256, .block = 2048, .count = 40};
  const Played whole = play_requests(bytes, 0, limits);
  require_same(whole, play_requests(bytes, 1, limits));
  require_same(whole, play_requests(bytes, 7, limits));
  for (const PlayedRequest& request : whole.requests) require_rewritable(request);
  return 0;
}
