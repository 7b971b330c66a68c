#include "proxy/server/drain.h"

#include <chrono>

namespace sluice::server {
namespace {

// For the last words to those who are cut: their 503, and a client's FIN.
constexpr Duration kCutting = std::chrono::milliseconds(500);

}  // namespace

std::string_view name_of(Drain::Stage stage) {
  switch (stage) {
    case Drain::Stage::kServing: return "serving";
    case Drain::Stage::kAnnouncing: return "announcing";
    case Drain::Stage::kEmptying: return "emptying";
    case Drain::Stage::kFinishing: return "finishing";
    case Drain::Stage::kCutting: return "cutting";
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
  if (evidence.requests > seen_) {
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
  if (stage_ == Stage::kEmptying && now - emptying_since_ >= evidence.handshake) {
    stage_ = Stage::kFinishing;
    return stage_;  // nobody has been told to let go yet
  }
  const bool empty = evidence.is_closed && evidence.connections == 0;
  if (stage_ == Stage::kFinishing && since >= limits_.deadline) {
    stage_ = empty ? Stage::kOver : Stage::kCutting;
    return stage_;
  }
  if (stage_ == Stage::kFinishing && empty) stage_ = Stage::kOver;
  if (stage_ == Stage::kCutting && (empty || since >= limits_.deadline + kCutting)) {
    stage_ = Stage::kOver;
  }
  return stage_;
}

}  // namespace sluice::server
