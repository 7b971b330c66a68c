// Recycled: storage of objects that come and go with every request, or every connection: each
// thread keeps a few of a type for the next, instead of asking malloc. Inherit from it:
//   class Exchange : public Recycled<Exchange> { … };
// Objects die on the thread that made them.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace sluice {

template <typename T>
class Recycled {
 public:
  static void* operator new(size_t size) {
    if (spares.first == nullptr || size != sizeof(T)) return allocate(size);
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
  // Plain, so that a look at it is one access: a destructor of its own would have each of them ask
  // first whether this thread has registered it.
  struct Spares {
    Spare* first = nullptr;
    size_t count = 0;
  };
  // Gives the spares back at the thread's end.
  struct Keeper {
    ~Keeper() {
      while (spares.first != nullptr) {
        Spare* spare = spares.first;
        spares.first = spare->next;
        ::operator delete(spare);
      }
      spares.count = kMostSpare;  // what dies later in this thread's end goes straight back
    }
  };

  static void* allocate(size_t size) {
    static thread_local Keeper keeper;  // made with the thread's first
    return ::operator new(size);
  }

  static constexpr size_t kMostSpare = 128;
  static inline constinit thread_local Spares spares;
};

// The same for the elements of small vectors: up to kSize bytes of them are kept for the next.
//   std::vector<Field, RecycledAllocator<Field>> fields_;
template <typename T>
class RecycledAllocator {
 public:
  using value_type = T;
  RecycledAllocator() = default;
  template <typename U>
  explicit RecycledAllocator(const RecycledAllocator<U>&) {}

  T* allocate(size_t count) {
    if (count > kMost) return std::allocator<T>().allocate(count);
    return reinterpret_cast<T*>(Storage::operator new(sizeof(Storage)));
  }
  void deallocate(T* memory, size_t count) {
    if (count > kMost) return std::allocator<T>().deallocate(memory, count);
    Storage::operator delete(memory, sizeof(Storage));
  }
  bool operator==(const RecycledAllocator&) const { return true; }

 private:
  static constexpr size_t kSize = 768;
  static constexpr size_t kMost = kSize / sizeof(T);
  struct alignas(alignof(std::max_align_t)) Storage : Recycled<Storage> {
    std::byte bytes[kSize];
  };
};

}  // namespace sluice
