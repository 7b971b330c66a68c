// MemoryGuard: one worker's share of limits.memory, and what happens near it. What counts is what
// the worker's blocks hold (base/block): heads that are not whole, bodies, answers under way.
//
//   up to kSpillShare of it    bodies stay in memory, each up to its buffering.memory
//   above                      bodies go to disk; a slow client gets no more read ahead for it
//   above the ceiling          no new request with a body of any size; what holds most, the newest
//                              of those first, is ended until there is room again
//   an eighth above it         no new request at all but health answers
//
// Owned by the worker, its thread only; lent to exchanges.
#pragma once

#include "proxy/base/block.h"
#include "proxy/event/soon.h"
#include "proxy/event/timers.h"

namespace sluice::exchange {

class MemoryShedder {
 public:
  // Ends requests that hold so many bytes together, if there are any; their memory may come back a
  // little later. Nothing of ours is on the stack.
  virtual void shed(uint64_t bytes) = 0;

 protected:
  ~MemoryShedder() = default;
};

class MemoryGuard final : private event::SoonEvents, private event::TimerEvents {
 public:
  MemoryGuard(event::Loop& loop, uint64_t ceiling, MemoryShedder& shedder)
      : ceiling_(ceiling), shedder_(shedder), soon_(loop, *this), pause_(loop.timers(), *this) {}

  // Above so many bytes in blocks, bodies spill.
  uint64_t spill_mark() const { return ceiling_ / 4 * 3; }
  // Whether a request whose body has so many bytes may begin; UINT64_MAX: not known how many.
  bool admits(uint64_t body) const {
    const uint64_t held = Block::held();
    if (held <= ceiling_) return true;
    return body <= kSmallBody && held <= ceiling_ + ceiling_ / 8;
  }
  // Memory was taken: sheds at the end of this tick what is too much.
  void look() {
    if (Block::held() > ceiling_) wake();
  }

 private:
  static constexpr uint64_t kSmallBody = 16 * 1024;

  void wake();
  void on_soon() override;
  void on_timer(event::Timer& timer) override;

  const uint64_t ceiling_;
  MemoryShedder& shedder_;
  event::Soon soon_;
  event::Timer pause_;  // what was ended last has not given its memory back yet
};

}  // namespace sluice::exchange
