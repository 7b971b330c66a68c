#include "proxy/upstream/endpoint_machine.h"

#include <array>

#include <doctest/doctest.h>

using sluice::upstream::EndpointMachine;
using sluice::upstream::EndpointNews;
using sluice::upstream::EndpointState;
using sluice::upstream::kEndpointNews;

namespace {

constexpr auto kSt = EndpointState::kStarting;
constexpr auto kRe = EndpointState::kReady;
constexpr auto kSu = EndpointState::kSuspect;
constexpr auto kHo = EndpointState::kHolding;
constexpr auto kDr = EndpointState::kDraining;
constexpr auto kGo = EndpointState::kGone;

struct Row {
  EndpointState from;
  std::array<EndpointState, kEndpointNews> to;  // in the order of EndpointNews
};

// Columns: Listens ListensNot Connected Refused Unreached Answered Broken ChecksWell ChecksBadly
//          Ejected Readmitted Drained Undrained Removed
constexpr Row kTable[] = {
    {kSt, {kSt, kHo, kSt, kHo, kHo, kRe, kSu, kRe, kSu, kSu, kSt, kDr, kSt, kGo}},
    {kRe, {kRe, kHo, kRe, kHo, kHo, kRe, kSu, kRe, kSu, kSu, kRe, kDr, kRe, kGo}},
    {kSu, {kSu, kHo, kSu, kHo, kHo, kRe, kSu, kRe, kSu, kSu, kRe, kDr, kSu, kGo}},
    {kHo, {kSt, kHo, kSt, kHo, kHo, kHo, kHo, kRe, kHo, kHo, kHo, kDr, kHo, kGo}},
    {kDr, {kDr, kDr, kDr, kDr, kDr, kDr, kDr, kDr, kDr, kDr, kDr, kDr, kSt, kGo}},
    {kGo, {kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo, kGo}},
};

}  // namespace

TEST_CASE("endpoint machine: every state meets every news as the table says") {
  for (const Row& row : kTable) {
    for (uint8_t news = 0; news < kEndpointNews; ++news) {
      CAPTURE(static_cast<int>(row.from));
      CAPTURE(static_cast<int>(news));
      EndpointMachine machine(row.from);
      const bool changed = machine.on(static_cast<EndpointNews>(news));
      CHECK(machine.state() == row.to[news]);
      CHECK(changed == (row.to[news] != row.from));
    }
  }
}
