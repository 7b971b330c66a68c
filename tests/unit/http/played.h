// Played: raw bytes through parser, framing and body decoder the way a codec drives them, in pieces
// of any size. For tests of the three together.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/block.h"
#include "proxy/base/chain.h"
#include "proxy/http/body_decoder.h"
#include "proxy/http/framing.h"
#include "proxy/http/head_parser.h"

namespace sluice::http {

struct PlayedRequest {
  RequestHead head;
  MessageFraming framing;
  std::string body;
  Headers trailers;
};

struct Played {
  std::vector<PlayedRequest> requests;  // complete ones
  HeadFault fault{0, {}};               // status 0: none
  bool in_body = false;                 // of the fault, or of the end
  bool unfinished = false;              // bytes of a message that is not complete were left
};

// Feeds `bytes` in pieces of `step` (0: all at once).
inline Played play_requests(std::string_view bytes, size_t step = 0, HeadLimits limits = {}) {
  Played out;
  if (step == 0) step = std::max<size_t>(bytes.size(), 1);
  BlockRef block = BlockRef::make(std::max<size_t>(bytes.size(), 1));
  if (!bytes.empty()) std::memcpy(block->data(), bytes.data(), bytes.size());
  const std::string_view all{block->data(), bytes.size()};
  size_t begin = 0;
  size_t end = 0;
  size_t scanned = 0;
  PlayedRequest now;
  BodyDecoder decoder;
  Chain body;
  while (end < all.size()) {
    end = std::min(end + step, all.size());
    for (bool moved = true; moved && begin < end;) {
      const std::string_view window = all.substr(begin, end - begin);
      if (!out.in_body) {
        const auto taken = parse_request_head(window, limits, scanned, now.head);
        if (!taken) {
          out.fault = taken.error();
          return out;
        }
        moved = *taken > 0;
        if (!moved) break;
        begin += *taken;
        const auto framing = frame_request(now.head);
        if (!framing) {
          out.fault = framing.error();
          return out;
        }
        now.framing = *framing;
        decoder = BodyDecoder(now.framing.body, now.head.body.length, limits);
        out.in_body = true;
      } else {
        const auto taken = decoder.decode(block, window, body);
        if (!taken) {
          out.fault = taken.error();
          return out;
        }
        moved = *taken > 0;
        begin += *taken;
      }
      if (out.in_body && decoder.is_complete()) {
        now.body = body.to_string();
        body.clear();
        now.trailers = std::move(decoder.trailers());
        const bool last = !now.framing.keep_alive;
        out.requests.push_back(std::move(now));
        now = PlayedRequest{};
        out.in_body = false;
        moved = true;
        if (last) return out;
      }
    }
  }
  out.unfinished = out.in_body || begin < end;
  return out;
}

}  // namespace sluice::http
