// FastcgiClient as ClientRig makes one: with settings that stay.
#pragma once

#include <memory>
#include <utility>

#include "proxy/http/fastcgi_client.h"
#include "tests/unit/http/fastcgi_wire.h"

namespace sluice::testing {

template <bool keep>
struct FastcgiWith {
  FastcgiWith(std::unique_ptr<net::Transport> transport, event::Timers& timers,
              const http::ClientLimits& limits, http::ClientOwner& owner)
      : client(std::move(transport), timers, limits, settings, owner) {}

  http::ClientStream& lease() { return client.lease(); }
  bool is_idle() const { return client.is_idle(); }
  void hold_rest() { client.hold_rest(); }
  void release_rest() { client.release_rest(); }

  const config::Fastcgi settings = [] {
    config::Fastcgi made;
    made.keep = keep;
    return made;
  }();
  http::FastcgiClient client;
};

using KeptFastcgi = FastcgiWith<true>;
using OnceFastcgi = FastcgiWith<false>;

}  // namespace sluice::testing
