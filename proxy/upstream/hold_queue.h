// HoldQueue: the requests of one cluster that cannot be served now, in the order in which they came
// first: one whose dial failed comes back to where it stood. Intrusive, so that joining and leaving
// allocate nothing and cost the same however long it is. It counts; its owner, a cluster, keeps the
// ceilings.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::upstream {

class Ticket;

class HoldQueue {
 public:
  struct Entry {
    Ticket* ticket = nullptr;
    uint64_t number = 0;  // of its arrival
    uint64_t bytes = 0;   // it pins
    Entry* next = nullptr;
    Entry* previous = nullptr;
  };

  HoldQueue() = default;
  HoldQueue(const HoldQueue&) = delete;
  HoldQueue& operator=(const HoldQueue&) = delete;

  // Requires: it is in no queue.
  void insert(Entry& entry);
  // Requires: it is in this one.
  void remove(Entry& entry);

  Entry* first() const { return first_; }
  bool empty() const { return first_ == nullptr; }
  size_t size() const { return size_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Entry* first_ = nullptr;
  Entry* last_ = nullptr;
  size_t size_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace sluice::upstream
