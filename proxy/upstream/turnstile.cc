#include "proxy/upstream/turnstile.h"

#include <utility>

namespace sluice::upstream {

size_t Turnstile::join(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < seats_.size(); ++i) {
    if (seats_[i].wake) continue;
    seats_[i].wake = std::move(wake);
    return i;
  }
  seats_.push_back({std::move(wake), false});
  return seats_.size() - 1;
}

void Turnstile::leave(size_t place) {
  set_waiting(place, false);
  const std::lock_guard lock(mutex_);
  seats_[place].wake = nullptr;
}

void Turnstile::set_waiting(size_t place, bool waiting) {
  const std::lock_guard lock(mutex_);
  if (seats_[place].waiting == waiting) return;
  seats_[place].waiting = waiting;
  if (waiting) {
    waiting_.fetch_add(1, std::memory_order_seq_cst);
  } else {
    waiting_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

void Turnstile::pass_on(size_t place) {
  if (waiting_.load(std::memory_order_seq_cst) == 0) return;
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < seats_.size(); ++i) {
    Seat& seat = seats_[next_++ % seats_.size()];
    if (!seat.waiting || &seat == &seats_[place]) continue;
    seat.wake();
    return;
  }
}

void Turnstile::wake_all() {
  const std::lock_guard lock(mutex_);
  for (const Seat& seat : seats_) {
    if (seat.wake) seat.wake();
  }
}

}  // namespace sluice::upstream
