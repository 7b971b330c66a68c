#include "proxy/exchange/memory_guard.h"

namespace sluice::exchange {
namespace {

constexpr Duration kPause = std::chrono::milliseconds(10);

}  // namespace

void MemoryGuard::wake() {
  if (!pause_.is_armed()) soon_.schedule();
}

void MemoryGuard::on_soon() {
  const uint64_t held = Block::held();
  if (held <= ceiling_) return;
  pause_.arm(kPause);
  shedder_.shed(held - ceiling_ / 8 * 7);
}

void MemoryGuard::on_timer(event::Timer&) {
  look();
}

}  // namespace sluice::exchange
