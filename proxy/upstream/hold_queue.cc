#include "proxy/upstream/hold_queue.h"

#include "proxy/base/assert.h"

namespace sluice::upstream {

// New ones go to the end; who comes back belongs near the front.
void HoldQueue::insert(Entry& entry) {
  Entry* after = last_;
  if (last_ != nullptr && last_->number > entry.number) {
    Entry* younger = first_;
    while (younger->number < entry.number) younger = younger->next;
    after = younger->previous;
  }
  entry.previous = after;
  entry.next = after == nullptr ? first_ : after->next;
  (entry.previous == nullptr ? first_ : entry.previous->next) = &entry;
  (entry.next == nullptr ? last_ : entry.next->previous) = &entry;
  ++size_;
  bytes_ += entry.bytes;
}

void HoldQueue::remove(Entry& entry) {
  SLUICE_ASSERT(size_ > 0);
  (entry.previous == nullptr ? first_ : entry.previous->next) = entry.next;
  (entry.next == nullptr ? last_ : entry.next->previous) = entry.previous;
  entry.next = nullptr;
  entry.previous = nullptr;
  --size_;
  bytes_ -= entry.bytes;
}

}  // namespace sluice::upstream
