// Drain: when the stages of a stop come (DESIGN, law 2): it ends on evidence. A pure machine: told
// the time and what was counted, it says which stage it is. Owned by the control thread.
//
//   kServing -> kAnnouncing (readiness 503, still accepting, answers say close)
//            -> kEmptying   (new SYNs held, the accept queue taken, then listeners closed)
//            -> kFinishing  (running requests end; exit when empty)
//            -> kOver       (empty, or the deadline: what is left is cut)
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/config/config.h"

namespace sluice::server {

class Drain {
 public:
  enum class Stage : uint8_t { kServing, kAnnouncing, kEmptying, kFinishing, kOver };

  // Counted over all workers since the start.
  struct Evidence {
    uint64_t requests = 0;   // begun
    size_t connections = 0;  // open now
    bool is_closed = false;  // every worker has taken what was queued and let the listeners go
  };

  void begin(TimePoint now, const config::Drain& limits, uint64_t requests);
  // Only while announcing; false: too late.
  bool cancel();
  // A second signal: no more waiting for evidence.
  void hurry();
  Stage advance(TimePoint now, const Evidence& evidence);

  Stage stage() const { return stage_; }
  bool hurried() const { return hurried_; }
  bool deadline_passed() const { return deadline_passed_; }
  Duration elapsed(TimePoint now) const { return now - began_; }

 private:
  Stage stage_ = Stage::kServing;
  config::Drain limits_;
  bool hurried_ = false;
  bool deadline_passed_ = false;
  TimePoint began_{};
  TimePoint last_request_{};  // when one was last seen to have come
  TimePoint emptying_since_{};
  uint64_t seen_ = 0;
};

std::string_view name_of(Drain::Stage stage);

}  // namespace sluice::server
