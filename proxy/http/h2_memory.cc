#include "proxy/http/h2_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sluice::http {
namespace {

constexpr size_t kStep = 64;
constexpr size_t kSizes = 16;        // kStep, 2 * kStep, ...; larger pieces are malloc's
constexpr uint32_t kMostSpare = 64;  // of a size

// Stands before each piece.
struct alignas(std::max_align_t) Piece {
  size_t room = 0;
  Piece* next = nullptr;  // while it is spare
};

struct Spares {
  Piece* first[kSizes] = {};
  uint32_t count[kSizes] = {};
  bool is_over = false;
};
// Plain, as in base/recycled.h: a look at it is one access.
constinit thread_local Spares spares;

struct Keeper {
  ~Keeper() {
    for (Piece*& first : spares.first) {
      while (first != nullptr) std::free(std::exchange(first, first->next));
    }
    spares.is_over = true;  // what dies later in this thread's end goes straight back
  }
};

size_t index_of(size_t room) {
  return room / kStep - 1;
}

void* give(size_t size, void*) {
  const size_t room = (std::max<size_t>(size, 1) + kStep - 1) / kStep * kStep;
  const size_t index = index_of(room);
  Piece* piece = index < kSizes ? spares.first[index] : nullptr;
  if (piece != nullptr) {
    spares.first[index] = piece->next;
    --spares.count[index];
  } else {
    static thread_local Keeper keeper;  // made with the thread's first
    piece = static_cast<Piece*>(std::malloc(sizeof(Piece) + room));
    if (piece == nullptr) std::abort();  // out of memory: die
    piece->room = room;
  }
  return piece + 1;
}

void take(void* memory, void*) {
  if (memory == nullptr) return;
  Piece* const piece = static_cast<Piece*>(memory) - 1;
  const size_t index = index_of(piece->room);
  if (index >= kSizes || spares.count[index] >= kMostSpare || spares.is_over) {
    return std::free(piece);
  }
  piece->next = spares.first[index];
  spares.first[index] = piece;
  ++spares.count[index];
}

void* give_zeroed(size_t count, size_t size, void* user) {
  void* const memory = give(count * size, user);  // both are nghttp2's own small numbers
  return std::memset(memory, 0, count * size);
}

void* resize(void* memory, size_t size, void* user) {
  if (memory == nullptr) return give(size, user);
  const size_t room = (static_cast<Piece*>(memory) - 1)->room;
  if (size <= room) return memory;
  void* const larger = give(size, user);
  std::memcpy(larger, memory, room);
  take(memory, user);
  return larger;
}

}  // namespace

nghttp2_mem* h2_memory() {
  static nghttp2_mem memory{nullptr, &give, &take, &give_zeroed, &resize};
  return &memory;
}

}  // namespace sluice::http
