#include "proxy/upstream/endpoint_words.h"

namespace sluice::upstream {

std::string_view name_of(EndpointState state) {
  switch (state) {
    case EndpointState::kGone: return "gone";
    case EndpointState::kStarting: return "starting";
    case EndpointState::kReady: return "ready";
    case EndpointState::kSuspect: return "suspect";
    case EndpointState::kHolding: return "holding";
    case EndpointState::kDraining: return "draining";
  }
  return "unknown";
}

std::string_view reason_of(EndpointNews news) {
  switch (news) {
    case EndpointNews::kListens: return "it listens";
    case EndpointNews::kListensNot: return "its listener is gone";
    case EndpointNews::kConnected: return "connected";
    case EndpointNews::kRefused: return "connection refused";
    case EndpointNews::kUnreached: return "cannot be reached";
    case EndpointNews::kAnswered: return "answered";
    case EndpointNews::kBroken: return "its connections broke off";
    case EndpointNews::kChecksWell: return "checks well";
    case EndpointNews::kChecksBadly: return "fails its checks";
    case EndpointNews::kEjected: return "ejected for its failures";
    case EndpointNews::kReadmitted: return "readmitted";
    case EndpointNews::kDrained: return "drained";
    case EndpointNews::kUndrained: return "no longer drained";
    case EndpointNews::kRemoved: return "removed";
  }
  return "unknown";
}

}  // namespace sluice::upstream
