// Any bytes as a chunked body, cut where the first bytes say: payload, end and fault must not
// depend on the cuts, and the payload chunked by us must be decoded to itself.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "proxy/http/body_decoder.h"
#include "proxy/http/head_writer.h"

using namespace sluice;
using namespace sluice::http;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Decoded {
  bool refused = false;
  bool complete = false;
  size_t taken = 0;
  std::string body;
  Headers trailers;
};

const HeadLimits kLimits{.line = 256, .block = 512, .count = 8};

// Pieces of the sizes in `cuts`, round and round; whole when there are none.
Decoded decode(std::string_view input, std::string_view cuts) {
  Decoded out;
  BlockRef block = BlockRef::make(input.size() + 1);
  std::memcpy(block->data(), input.data(), input.size());
  const std::string_view bytes{block->data(), input.size()};
  BodyDecoder decoder(BodyFraming::kChunked, 0, kLimits);
  Chain body;
  size_t turn = 0;
  for (size_t end = 0; end < bytes.size() && !decoder.is_complete();) {
    const size_t step = cuts.empty() ? bytes.size() : 1 + (cuts[turn++ % cuts.size()] & 0x1f);
    end = std::min(end + step, bytes.size());
    const auto taken = decoder.decode(block, bytes.substr(out.taken, end - out.taken), body);
    out.refused = !taken;
    if (!taken) break;
    out.taken += *taken;
    require(decoder.is_complete() || out.taken == end);
  }
  out.complete = decoder.is_complete();
  out.body = body.to_string();
  out.trailers = std::move(decoder.trailers());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 64 * 1024) return 0;
  const std::string_view all{reinterpret_cast<const char*>(data), size};
  const std::string_view cuts = all.substr(0, 2);
  const std::string_view bytes = all.substr(2);
  const Decoded whole = decode(bytes, {});
  for (const std::string_view way : {cuts, std::string_view{"\0", 1}}) {
    const Decoded pieces = decode(bytes, way);
    require(pieces.refused == whole.refused && pieces.complete == whole.complete);
    require(pieces.body == whole.body);
    if (!whole.complete) continue;
    require(pieces.taken == whole.taken && pieces.trailers.size() == whole.trailers.size());
  }
  if (!whole.complete) return 0;
  Chain out;
  if (!whole.body.empty()) {
    write_chunk_size(whole.body.size(), out);
    out.append_copy(whole.body);
    out.append_copy("\r\n");
  }
  write_last_chunk(whole.trailers, out);
  const std::string bytes_again = out.to_string();
  const Decoded again = decode(bytes_again, cuts);
  require(again.complete && again.taken == bytes_again.size() && again.body == whole.body);
  require(again.trailers.size() == whole.trailers.size());
  return 0;
}
