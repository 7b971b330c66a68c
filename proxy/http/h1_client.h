// H1Client: HTTP/1.1 towards one upstream, one request after the other (see serial_client.h).
// Bodies of unknown length go chunked; the connection is kept as long as both sides' framing
// allows.
#pragma once

#include <algorithm>

#include "proxy/http/serial_client.h"

namespace sluice::http {

class H1Client final : public SerialClient {
 public:
  H1Client(std::unique_ptr<net::Transport> transport, event::Timers& timers,
           const ClientLimits& limits, ClientOwner& owner)
      : SerialClient(std::move(transport), timers, limits, owner, ResponseReader::Dialect::kHttp1) {
  }

 private:
  static constexpr size_t kMostPrelude = size_t{8} * 1024;  // a fresh socket takes it

  Status write_head(const RequestHead& head, Chain& out) override;
  bool may_chunk() const override { return true; }
  bool may_be_reused() const override { return true; }
  // All but the last line feed: whoever reads it waits for that, also where a head is expected to
  // come in one piece.
  size_t prelude(size_t head_size) const override { return std::min(head_size - 1, kMostPrelude); }
};

}  // namespace sluice::http
