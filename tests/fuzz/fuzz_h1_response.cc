// Any bytes as an upstream's answer. The first byte picks method and upgrade. What is accepted must
// be the same in pieces, and a head written from it must be read as the same head again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "proxy/http/body_decoder.h"
#include "proxy/http/head_parser.h"
#include "proxy/http/head_writer.h"

using namespace sluice;
using namespace sluice::http;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Asked {
  std::string_view method;
  std::string_view upgrade;
};

struct Answer {
  bool refused = false;
  bool complete = false;
  ResponseHead head;
  MessageFraming framing;
  std::string body;
  size_t taken = 0;
};

const HeadLimits kLimits{.line = 256, .block = 2048, .count = 40};

Answer play(std::string_view input, const Asked& asked, size_t step) {
  Answer out;
  BlockRef block = BlockRef::make(input.size() + 1);
  std::memcpy(block->data(), input.data(), input.size());
  const std::string_view bytes{block->data(), input.size()};
  BodyDecoder decoder;
  Chain body;
  bool has_head = false;
  size_t scanned = 0;
  for (size_t end = 0; end < bytes.size() && !out.complete;) {
    end = std::min(end + step, bytes.size());
    if (!has_head) {
      const auto taken = parse_response_head(bytes.substr(0, end), kLimits, scanned, out.head);
      out.refused = !taken;
      if (!taken) return out;
      if (*taken == 0) continue;
      const auto framing = frame_response(out.head, asked.method, asked.upgrade);
      out.refused = !framing;
      if (!framing) return out;
      out.framing = *framing;
      decoder = BodyDecoder(framing->body, out.head.body.length, kLimits);
      out.taken = *taken;
      has_head = true;
    }
    const auto taken = decoder.decode(block, bytes.substr(out.taken, end - out.taken), body);
    out.refused = !taken;
    if (!taken) return out;
    out.taken += *taken;
    out.complete = decoder.is_complete();
  }
  out.complete = has_head && decoder.on_end();
  out.body = body.to_string();
  return out;
}

void require_rewritable(const ResponseHead& head, const Asked& asked) {
  Chain out;
  write_response_head(head, {.chunked = head.body.is_unknown(), .to_head = asked.method == "HEAD"},
                      {}, out);
  const std::string bytes = out.to_string();
  size_t scanned = 0;
  ResponseHead again;
  const auto taken = parse_response_head(bytes, {}, scanned, again);
  require(taken.has_value() && *taken == bytes.size());
  const auto framing = frame_response(again, asked.method, asked.upgrade);
  require(framing.has_value());
  require(again.status == head.status && again.upgrade == head.upgrade);
  require(again.declared_length == head.declared_length);
  require(again.body.kind == head.body.kind && again.body.length == head.body.length);
  require(again.headers.size() == head.headers.size());
  for (size_t i = 0; i < again.headers.size(); ++i) {
    require(again.headers.begin()[static_cast<long>(i)].value ==
            head.headers.begin()[static_cast<long>(i)].value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 16 * 1024) return 0;
  Asked asked{"GET", {}};
  if (data[0] == 'H') asked.method = "HEAD";
  if (data[0] == 'U') asked.upgrade = "websocket";
  const std::string_view bytes{reinterpret_cast<const char*>(data + 1), size - 1};
  const Answer whole = play(bytes, asked, bytes.size() + 1);
  for (const size_t step : {1, 5}) {
    const Answer pieces = play(bytes, asked, step);
    require(pieces.refused == whole.refused);
    if (whole.refused) continue;
    require(pieces.complete == whole.complete && pieces.taken == whole.taken);
    require(pieces.body == whole.body);
  }
  if (whole.complete) require_rewritable(whole.head, asked);
  return 0;
}
