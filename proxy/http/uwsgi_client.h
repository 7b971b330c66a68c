// UwsgiClient: the uwsgi protocol towards one application (see serial_client.h): a packet of
// variables, the body behind it, an answer in HTTP/1.x. One request per connection, as uWSGI wants
// it; the answer is over when its Content-Length says so, since gunicorn does not close first.
#pragma once

#include "proxy/http/serial_client.h"
#include "proxy/http/uwsgi_params.h"

namespace sluice::http {

class UwsgiClient final : public SerialClient {
 public:
  UwsgiClient(std::unique_ptr<net::Transport> transport, event::Timers& timers,
              const ClientLimits& limits, ClientOwner& owner)
      : SerialClient(std::move(transport), timers, limits, owner, ResponseReader::Dialect::kCgi) {}

 private:
  // Requires: head.body is not unknown; WSGI has no word for that (the exchange buffers it first).
  Status write_head(const RequestHead& head, Chain& out) override;
  bool may_chunk() const override { return false; }
  bool may_be_reused() const override { return false; }
  // The packet's header: uWSGI reads it by itself, before anything else.
  size_t prelude(size_t) const override { return 4; }
  void explain_silence(Error& error) const override;

  UwsgiPacket packet_;
};

}  // namespace sluice::http
