#include "proxy/server/idle_hand_over.h"

#include "proxy/server/worker_listener.h"

namespace sluice::server {
namespace {

constexpr Duration kAgain = std::chrono::milliseconds(1);  // the successor reads what is there
constexpr int kMostPerTick = 64;                           // then the requests have their turn

}  // namespace

IdleHandOver::IdleHandOver(WorkerListener& listener, const Channel& line)
    : listener_(listener),
      line_(line),
      soon_(listener.loop(), *this),
      again_(listener.loop().timers(), *this) {
  on_idle();
}

void IdleHandOver::give() {
  for (int i = 0; i < kMostPerTick && !gone_; ++i) {
    switch (listener_.give_idle(line_)) {
      case WorkerListener::Given::kNone: return;
      case WorkerListener::Given::kOne: break;
      case WorkerListener::Given::kLater: return again_.arm(kAgain);
      case WorkerListener::Given::kGone: gone_ = true; return listener_.drain(true);
    }
  }
  if (!gone_) again_.arm(Duration{0});
}

}  // namespace sluice::server
