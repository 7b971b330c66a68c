// EndpointMachine: what is believed of one endpoint (DESIGN, law 6): one state, changed in one
// place by news from everywhere: the watch of its listener, dials, answers, checks, orders. Pure;
// Endpoint guards it. (observe::EndpointState is the state: metrics and status show it as it is.)
//
//   kStarting ── answered, checked well ──> kReady <──────── answered, checked well ──┐
//      │ ^                                    │ broken, checked badly, ejected ──> kSuspect
//      │ │ listens, connected                 │                                       │
//      │ └──────────────────── kHolding <─────┴── refused, unreached, listens no more ┘
//      └── refused, unreached, listens no more ──────^
//   any ── drained ──> kDraining ── undrained ──> kStarting;   any ── removed ──> kGone (the end)
//
//   kStarting   there, as far as we know, and has not answered since: used, by the ramp
//   kReady      has answered: used
//   kSuspect    there, but ailing: used, after others
//   kHolding    away: nothing is sent; its requests go to others, or wait
//   kDraining   ordered out: nothing new is sent, what runs ends
#pragma once

#include <cstdint>

#include "proxy/observe/metric_ids.h"

namespace sluice::upstream {

using observe::EndpointState;

enum class EndpointNews : uint8_t {
  kListens,      // the watch sees its listener, or a probe could connect
  kListensNot,   // the watch saw it go
  kConnected,    // a dial came through
  kRefused,      // refused, no socket at that path
  kUnreached,    // connect timed out, no route
  kAnswered,     // the head of an answer came
  kBroken,       // a burst of closes, an answer that never came
  kChecksWell,   // an active check, `rise` times
  kChecksBadly,  // the same, `fall` times
  kEjected,      // its failures beside the others'
  kReadmitted,   // its time out is over
  kDrained,      // by an order, DNS, or the task's DesiredStatus
  kUndrained,
  kRemoved,
};
constexpr uint8_t kEndpointNews = 14;

class EndpointMachine {
 public:
  explicit EndpointMachine(EndpointState first = EndpointState::kStarting) : state_(first) {}
  EndpointState state() const { return state_; }
  // True when the state has changed.
  bool on(EndpointNews news);

 private:
  EndpointState state_;
};

}  // namespace sluice::upstream
