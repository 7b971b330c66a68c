#include "proxy/upstream/endpoint_machine.h"

#include <utility>

namespace sluice::upstream {
namespace {

bool is_away(EndpointNews news) {
  return news == EndpointNews::kListensNot || news == EndpointNews::kRefused ||
         news == EndpointNews::kUnreached;
}

bool is_well(EndpointNews news) {
  return news == EndpointNews::kAnswered || news == EndpointNews::kChecksWell;
}

bool is_ailing(EndpointNews news) {
  return news == EndpointNews::kBroken || news == EndpointNews::kChecksBadly ||
         news == EndpointNews::kEjected;
}

EndpointState from_starting(EndpointNews news) {
  if (is_away(news)) return EndpointState::kHolding;
  if (is_well(news)) return EndpointState::kReady;
  return is_ailing(news) ? EndpointState::kSuspect : EndpointState::kStarting;
}

EndpointState from_ready(EndpointNews news) {
  if (is_away(news)) return EndpointState::kHolding;
  return is_ailing(news) ? EndpointState::kSuspect : EndpointState::kReady;
}

EndpointState from_suspect(EndpointNews news) {
  if (is_away(news)) return EndpointState::kHolding;
  return is_well(news) || news == EndpointNews::kReadmitted ? EndpointState::kReady
                                                            : EndpointState::kSuspect;
}

// An answer says nothing here: it belongs to a request sent before the listener went.
EndpointState from_holding(EndpointNews news) {
  switch (news) {
    case EndpointNews::kListens:
    case EndpointNews::kConnected: return EndpointState::kStarting;
    case EndpointNews::kChecksWell: return EndpointState::kReady;
    default: return EndpointState::kHolding;
  }
}

}  // namespace

bool EndpointMachine::on(EndpointNews news) {
  EndpointState next = state_;
  if (state_ == EndpointState::kGone) return false;
  if (news == EndpointNews::kRemoved) {
    next = EndpointState::kGone;
  } else if (news == EndpointNews::kDrained) {
    next = EndpointState::kDraining;
  } else {
    switch (state_) {
      case EndpointState::kStarting: next = from_starting(news); break;
      case EndpointState::kReady: next = from_ready(news); break;
      case EndpointState::kSuspect: next = from_suspect(news); break;
      case EndpointState::kHolding: next = from_holding(news); break;
      case EndpointState::kDraining:
        if (news == EndpointNews::kUndrained) next = EndpointState::kStarting;
        break;
      case EndpointState::kGone: break;
    }
  }
  return std::exchange(state_, next) != next;
}

}  // namespace sluice::upstream
