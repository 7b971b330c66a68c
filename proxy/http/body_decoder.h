// BodyDecoder: finds the payload in the bytes of a body, by length, chunked or until the connection
// ends, without copying it. Strict on chunked coding (RFC 9112 §7.1): CRLF only, hex sizes that
// fit, extensions by the grammar and bounded, trailers parsed. One per message, on its connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/chain.h"
#include "proxy/http/framing.h"
#include "proxy/http/head_parser.h"

namespace sluice::http {

class BodyDecoder {
 public:
  BodyDecoder() = default;  // complete at once
  BodyDecoder(BodyFraming framing, uint64_t length, const HeadLimits& trailer_limits) {
    begin(framing, length, trailer_limits);
  }

  // The next message, as with a new decoder.
  void begin(BodyFraming framing, uint64_t length, const HeadLimits& trailer_limits);
  // Complete at once; what a chunked body has left behind is given back.
  void rest();

  // Takes from the front of `bytes`, which lies in `block`, what belongs to this body; appends the
  // payload to `into` as windows on the block. Returns how many bytes it took; the rest belongs to
  // the next message. A chunk-size line or trailer cut off by the end of `bytes` is remembered
  // inside.
  HeadResult<size_t> decode(const BlockRef& block, std::string_view bytes, Chain& into);
  // The connection ended. True when that completes the body (kUntilClose, or it was complete).
  bool on_end();

  bool is_complete() const;
  // Payload bytes still to come when that is known (kLength); else UINT64_MAX.
  uint64_t left() const;
  Headers& trailers() { return trailers_; }

 private:
  enum class State : uint8_t {
    kComplete,
    kLength,
    kUntilClose,
    kChunkSize,
    kChunkData,
    kChunkDataEnd,
    kTrailers,
  };
  HeadResult<size_t> decode_data_end(std::string_view bytes);
  HeadResult<size_t> decode_chunk_size(std::string_view bytes);
  HeadResult<size_t> decode_trailers(std::string_view bytes);

  State state_ = State::kComplete;
  HeadLimits limits_;
  uint64_t left_ = 0;  // of the body (kLength) or of this chunk
  // Of chunked bodies only.
  bool is_chunked_ = false;
  uint64_t overhead_ = 0;  // bytes of chunk lines that the payload has not paid for
  std::string partial_;    // a line that is not whole yet; bounded
  size_t scanned_ = 0;
  Headers trailers_;
};

}  // namespace sluice::http
