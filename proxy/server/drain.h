// Drain: when the stages of a stop come (DESIGN, law 2): it ends on evidence. A pure machine: told
// the time and what was counted, it says which stage it is. Owned by the control thread.
//
//   kServing -> kAnnouncing (readiness 503, still accepting, answers say close)
//            -> kEmptying   (new SYNs held, the accept queue taken, then listeners closed)
//            -> kFinishing  (running requests end; idle connections stay until their clients close
//                            them, ask once more, or the deadline comes: DESIGN, law 3)
//            -> kCutting    (the deadline: idle ones are closed, running ones answered 503 or cut)
//            -> kOver       (empty, or told twice)
// From kFinishing it is over as soon as it is empty.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/config/config.h"

namespace sluice::server {

class Drain {
 public:
  enum class Stage : uint8_t { kServing, kAnnouncing, kEmptying, kFinishing, kCutting, kOver };

  // Counted over all workers since the start.
  struct Evidence {
    uint64_t requests = 0;   // begun, but for health checks: balancers go on asking
    size_t connections = 0;  // open now
    bool is_closed = false;  // every worker has taken what was queued and let the listeners go
    Duration handshake{0};   // how long connections may still come when new SYNs are held
  };

  void begin(TimePoint now, const config::Drain& limits, uint64_t requests);
  // Only while announcing; false: too late.
  bool cancel();
  // A second signal: no more waiting for evidence.
  void hurry();
  Stage advance(TimePoint now, const Evidence& evidence);

  Stage stage() const { return stage_; }
  bool hurried() const { return hurried_; }
  Duration elapsed(TimePoint now) const { return now - began_; }

 private:
  Stage stage_ = Stage::kServing;
  config::Drain limits_;
  bool hurried_ = false;
  TimePoint began_{};
  TimePoint last_request_{};  // when one was last seen to have come
  TimePoint emptying_since_{};
  uint64_t seen_ = 0;
};

std::string_view name_of(Drain::Stage stage);

// What a tunnel may take from its last moment on: an answer to the Close frame, then the FIN.
constexpr Duration kTunnelsEnd = std::chrono::milliseconds(2200);

}  // namespace sluice::server
