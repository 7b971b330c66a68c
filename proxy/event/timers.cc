#include "proxy/event/timers.h"

#include <algorithm>
#include <bit>

#include "proxy/base/assert.h"

namespace sluice::event {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);
constexpr int kBits = 6;

uint64_t unit_of(int level) {
  return uint64_t{1} << (kBits * level);
}

}  // namespace

void Timer::arm(Duration from_now) {
  cancel();
  deadline_ = timers_->tick_of(timers_->now_ + std::max(from_now, Duration{0}));
  timers_->place(*this);
  ++timers_->armed_;
}

void Timer::arm_at_once() {
  cancel();
  deadline_ = 0;
  place_ = Timers::kAtOnce;
  timers_->link(timers_->at_once_, *this);
  ++timers_->armed_;
}

void Timer::disarm() {
  timers_->remove(*this);
  --timers_->armed_;
}

uint64_t Timers::tick_of(TimePoint t) const {
  return static_cast<uint64_t>((t - start_ + kTick - Duration{1}) / kTick);
}

// A timer sits on the lowest level whose range still reaches its deadline. On level n a slot covers
// 64^n ticks; when the wheel turns into that slot, its timers move a level down.
void Timers::place(Timer& timer) {
  const uint64_t at = std::max(timer.deadline_, tick_ + 1);
  int level = 0;
  while (level < kLevels - 1 && at / unit_of(level) - tick_ / unit_of(level) >= kSlots) ++level;
  uint64_t index = at / unit_of(level);
  if (index - tick_ / unit_of(level) >= kSlots) index = tick_ / unit_of(level) + kSlots - 1;
  const auto slot = static_cast<size_t>(index % kSlots);
  timer.place_ = static_cast<uint16_t>(static_cast<size_t>(level) * kSlots + slot);
  link(slots_[static_cast<size_t>(level)][slot], timer);
  occupied_[static_cast<size_t>(level)] |= uint64_t{1} << slot;
}

void Timers::link(Timer*& head, Timer& timer) {
  timer.next_ = head;
  if (head != nullptr) head->prev_ = &timer.next_;
  head = &timer;
  timer.prev_ = &head;
}

void Timers::remove(Timer& timer) {
  *timer.prev_ = timer.next_;
  if (timer.next_ != nullptr) timer.next_->prev_ = timer.prev_;
  timer.prev_ = nullptr;
  timer.next_ = nullptr;
  if (timer.place_ == kAtOnce) return;
  const size_t level = timer.place_ / kSlots;
  const size_t slot = timer.place_ % kSlots;
  if (slots_[level][slot] == nullptr) occupied_[level] &= ~(uint64_t{1} << slot);
}

// Detaches the whole list first: a callback may arm timers into the very slot that is running, or
// cancel others that are due with it.
void Timers::run(Timer*& list) {
  running_ = list;
  list = nullptr;
  if (running_ != nullptr) running_->prev_ = &running_;
  while (running_ != nullptr) {
    Timer& timer = *running_;
    running_ = timer.next_;
    if (running_ != nullptr) running_->prev_ = &running_;
    timer.prev_ = nullptr;
    timer.next_ = nullptr;
    if (timer.deadline_ > tick_) {
      place(timer);  // came from beyond the wheel's reach
      continue;
    }
    --armed_;
    timer.events_->on_timer(timer);
  }
}

void Timers::cascade(int level) {
  const auto slot = static_cast<size_t>((tick_ / unit_of(level)) % kSlots);
  Timer*& head = slots_[static_cast<size_t>(level)][slot];
  occupied_[static_cast<size_t>(level)] &= ~(uint64_t{1} << slot);
  Timer* moving = head;
  head = nullptr;
  while (moving != nullptr) {
    Timer& timer = *moving;
    moving = timer.next_;
    if (timer.deadline_ <= tick_) {
      // Due in this very tick: the level-0 slot that runs next.
      const auto now_slot = static_cast<size_t>(tick_ % kSlots);
      timer.place_ = static_cast<uint16_t>(now_slot);
      link(slots_[0][now_slot], timer);
      occupied_[0] |= uint64_t{1} << now_slot;
    } else {
      place(timer);
    }
  }
}

void Timers::advance(TimePoint now) {
  set_now(now);
  if (at_once_ != nullptr) run(at_once_);
  const auto last = static_cast<uint64_t>((now_ - start_) / kTick);
  while (tick_ < last) {
    if (armed_ == 0) {
      tick_ = last;
      return;
    }
    // Skip to the next tick at which something may happen: an occupied slot of level 0, or a turn.
    const uint64_t turn = (tick_ / kSlots + 1) * kSlots;
    const auto base = static_cast<int>((tick_ + 1) % kSlots);
    const uint64_t ahead = base == 0 ? 0 : occupied_[0] >> base;
    const uint64_t next =
        ahead != 0 ? tick_ + 1 + static_cast<uint64_t>(std::countr_zero(ahead)) : turn;
    if (next > last) {
      tick_ = last;
      return;
    }
    tick_ = next;
    for (int level = kLevels - 1; level >= 1; --level) {
      if (tick_ % unit_of(level) == 0) cascade(level);
    }
    const auto slot = static_cast<size_t>(tick_ % kSlots);
    occupied_[0] &= ~(uint64_t{1} << slot);
    run(slots_[0][slot]);
  }
}

TimePoint Timers::next_turn() const {
  if (armed_ == 0) return TimePoint::max();
  if (at_once_ != nullptr) return now_;
  uint64_t best = UINT64_MAX;
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t bits = occupied_[static_cast<size_t>(level)];
    if (bits == 0) continue;
    const uint64_t position = tick_ / unit_of(level);
    const auto base = static_cast<int>((position + 1) % kSlots);
    const uint64_t rotated = std::rotr(bits, base);
    const uint64_t index = position + 1 + static_cast<uint64_t>(std::countr_zero(rotated));
    best = std::min(best, index * unit_of(level));
  }
  SLUICE_ASSERT(best != UINT64_MAX);
  return start_ + kTick * static_cast<int64_t>(best);
}

}  // namespace sluice::event
