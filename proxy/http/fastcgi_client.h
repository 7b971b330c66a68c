// FastcgiClient: FastCGI towards one application (see serial_client.h), which answers as a
// responder (FastCGI Specification 1.0, §6.2): variables and body in records, an answer in the CGI
// dialect in records, and END_REQUEST. One request at a time; the connection is used again only
// where `keep` asked for that, and then only behind an END_REQUEST with nothing after it.
#pragma once

#include "proxy/config/upstream.h"
#include "proxy/http/fastcgi_records.h"
#include "proxy/http/serial_client.h"

namespace sluice::http {

class FastcgiClient final : public SerialClient {
 public:
  // Requires: settings outlive the connection; each request takes them as they are then.
  FastcgiClient(std::unique_ptr<net::Transport> transport, event::Timers& timers,
                const ClientLimits& limits, const config::Fastcgi& settings, ClientOwner& owner)
      : SerialClient(std::move(transport), timers, limits, owner, ResponseReader::Dialect::kCgi,
                     &answer_),
        settings_(settings) {}

 private:
  // Requires: head.body is not unknown; CGI has no word for that (the exchange buffers it first).
  Status write_head(const RequestHead& head, Chain& out) override;
  void write_body(Chain&& bytes, Chain& out) override;
  void write_end(Chain& out) override;
  void write_abort(Chain& out) override;
  bool may_chunk() const override { return false; }
  bool may_be_reused() const override { return keeps_; }
  // The head of the first record: applications read it by itself, or wait for all of a request.
  size_t prelude(size_t) const override { return kFastcgiHead; }
  std::string take_remarks() override { return answer_.take_remarks(); }

  const config::Fastcgi& settings_;
  bool keeps_ = false;  // what the last request said
  FastcgiAnswer answer_;
};

}  // namespace sluice::http
