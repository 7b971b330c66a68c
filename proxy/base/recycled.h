// Recycled: storage of objects that come and go with every request: each thread keeps a few of a
// type for the next, instead of asking malloc for a kilobyte and more. Inherit from it:
//   class Exchange : public Recycled<Exchange> { … };
// Objects die on the thread that made them.
#pragma once

#include <cstddef>
#include <new>

namespace sluice {

template <typename T>
class Recycled {
 public:
  static void* operator new(size_t size) {
    if (spares.first == nullptr || size != sizeof(T)) return ::operator new(size);
    Spare* spare = spares.first;
    spares.first = spare->next;
    --spares.count;
    return spare;
  }
  static void operator delete(void* memory, size_t size) {
    if (spares.count >= kMostSpare || size != sizeof(T)) return ::operator delete(memory);
    spares.first = new (memory) Spare{spares.first};
    ++spares.count;
  }

 private:
  struct Spare {
    Spare* next;
  };
  struct Spares {
    Spare* first = nullptr;
    size_t count = 0;
    ~Spares() {
      while (first != nullptr) {
        Spare* spare = first;
        first = spare->next;
        ::operator delete(spare);
      }
      count = kMostSpare;  // what dies later in this thread's end goes straight back
    }
  };
  static constexpr size_t kMostSpare = 128;
  static inline thread_local Spares spares;
};

}  // namespace sluice
