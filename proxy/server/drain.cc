#include "proxy/server/drain.h"

#include <chrono>

namespace sluice::server {
namespace {

// Long enough for handshakes that were under way when SYNs began to be held.
constexpr Duration kEmptying = std::chrono::milliseconds(200);

}  // namespace

std::string_view name_of(Drain::Stage stage) {
  switch (stage) {
    case Drain::Stage::kServing: return "serving";
    case Drain::Stage::kAnnouncing: return "announcing";
    case Drain::Stage::kEmptying: return "emptying";
    case Drain::Stage::kFinishing: return "finishing";
    case Drain::Stage::kOver: return "over";
  }
  return "unknown";
}

void Drain::begin(TimePoint now, const config::Drain& limits, uint64_t requests) {
  if (stage_ != Stage::kServing) return;
  stage_ = Stage::kAnnouncing;
  limits_ = limits;
  began_ = now;
  last_request_ = now;
  seen_ = requests;
}

bool Drain::cancel() {
  if (stage_ != Stage::kAnnouncing) return stage_ == Stage::kServing;
  stage_ = Stage::kServing;
  hurried_ = false;
  return true;
}

void Drain::hurry() {
  hurried_ = true;
}

Drain::Stage Drain::advance(TimePoint now, const Evidence& evidence) {
  if (evidence.requests != seen_) {
    seen_ = evidence.requests;
    last_request_ = now;
  }
  const Duration since = now - began_;
  if (stage_ == Stage::kAnnouncing) {
    const bool quiet = since >= limits_.min && now - last_request_ >= limits_.quiet;
    if (hurried_ || quiet || since >= limits_.max) {
      stage_ = Stage::kEmptying;
      emptying_since_ = now;
    }
  }
  if (stage_ == Stage::kEmptying && now - emptying_since_ >= kEmptying) stage_ = Stage::kFinishing;
  if (stage_ == Stage::kFinishing) {
    deadline_passed_ = since >= limits_.deadline;
    const bool empty = evidence.is_closed && evidence.connections == 0;
    if (empty || deadline_passed_) stage_ = Stage::kOver;
  }
  return stage_;
}

}  // namespace sluice::server
