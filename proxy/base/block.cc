#include "proxy/base/block.h"

#include <cstdlib>
#include <new>

#include "proxy/base/assert.h"

namespace sluice {
namespace {

constexpr size_t kMostSpare = 64;  // 4 MiB a thread; above it, back to malloc

// Plain, so that a look at it is one access (see base/recycled.h).
struct Spares {
  Block* first = nullptr;
  size_t count = 0;
  size_t held = 0;
};
// Gives the spares back at the thread's end.
struct Keeper {
  ~Keeper() { Block::trim(); }
};

constinit thread_local Spares spares;

}  // namespace

Block* Block::make() {
  if (spares.first == nullptr) return make(kSize);
  Block* block = spares.first;
  spares.first = block->next_spare_;
  --spares.count;
  spares.held += kSize;
  block->holders_ = 1;
  return block;
}

Block* Block::make(size_t capacity) {
  static thread_local Keeper keeper;  // made with the thread's first
  void* memory = std::malloc(sizeof(Block) + capacity);
  SLUICE_ASSERT(memory != nullptr);  // out of memory: die (STYLE, errors)
  spares.held += capacity;
  return new (memory) Block(capacity);
}

void Block::recycle() {
  spares.held -= capacity_;
  if (capacity_ != kSize || spares.count >= kMostSpare) {
    std::free(this);
    return;
  }
  next_spare_ = spares.first;
  spares.first = this;
  ++spares.count;
}

size_t Block::held() {
  return spares.held;
}

void Block::trim() {
  while (spares.first != nullptr) {
    Block* block = spares.first;
    spares.first = block->next_spare_;
    std::free(block);
  }
  spares.count = 0;
}

}  // namespace sluice
