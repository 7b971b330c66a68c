// Block: 64 KiB (or a size asked for) of plain memory with a count of its holders; Slice: a
// read-only window on one. A thread's blocks come from its own pool, last freed first given, so
// that the block a request is read into is still in the cache. Counts are not atomic: a block never
// leaves its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace sluice {

class Block {
 public:
  static constexpr size_t kSize = 64 * 1024;

  // A block of kSize from this thread's pool, or of exactly `capacity` from malloc when given.
  static Block* make();
  static Block* make(size_t capacity);
  // Bytes in blocks that are held now on this thread, of either kind (for the memory ceiling).
  static size_t held();
  // Gives pooled, unheld blocks back to the system; the pool keeps at most kMostSpare anyway.
  static void trim();

  char* data() { return reinterpret_cast<char*>(this + 1); }
  size_t capacity() const { return capacity_; }
  bool is_shared() const { return holders_ > 1; }
  void hold() { ++holders_; }
  void drop() {
    if (--holders_ == 0) recycle();
  }

 private:
  explicit Block(size_t capacity) : capacity_(static_cast<uint32_t>(capacity)) {}
  void recycle();

  Block* next_spare_ = nullptr;
  uint32_t capacity_;
  uint32_t holders_ = 1;
};

// Owns one hold on a block.
class BlockRef {
 public:
  BlockRef() = default;
  static BlockRef make() { return BlockRef{Block::make()}; }
  static BlockRef make(size_t capacity) { return BlockRef{Block::make(capacity)}; }
  BlockRef(const BlockRef& other) : block_(other.block_) {
    if (block_ != nullptr) block_->hold();
  }
  BlockRef(BlockRef&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  BlockRef& operator=(BlockRef other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~BlockRef() {
    if (block_ != nullptr) block_->drop();
  }

  Block* get() const { return block_; }
  Block* operator->() const { return block_; }
  explicit operator bool() const { return block_ != nullptr; }
  void reset() { *this = BlockRef{}; }

 private:
  explicit BlockRef(Block* adopted) : block_(adopted) {}
  Block* block_ = nullptr;
};

}  // namespace sluice
