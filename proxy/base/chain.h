// Chain: a queue of bytes on their way through: pieces of memory blocks and ranges of open files,
// in order. Moving a chain moves no bytes. Owned by whoever holds it; stays on its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/block.h"
#include "proxy/base/fd.h"
#include "proxy/base/recycled.h"

namespace sluice {

// An open file that several pieces may name. Not to be confused with its path: a file that is
// replaced while being served stays whole.
using SharedFile = std::shared_ptr<const Fd>;

class Chain {
 public:
  struct Piece {
    BlockRef block;  // set: bytes in memory, from `data`
    const char* data = nullptr;
    SharedFile file;  // set: bytes of a file, from `offset`
    uint64_t offset = 0;
    uint64_t size = 0;
    bool is_file() const { return file != nullptr; }
    std::string_view view() const { return {data, static_cast<size_t>(size)}; }
  };

  Chain() = default;
  Chain(Chain&& other) noexcept;
  Chain& operator=(Chain&& other) noexcept;
  ~Chain();

  bool empty() const { return size_ == 0; }
  uint64_t size() const { return size_; }
  // Bytes held in memory (file ranges cost none).
  uint64_t memory() const { return memory_; }
  // What the blocks have that these bytes are in: so much may come back when they are dropped.
  uint64_t pinned() const;
  bool starts_with_file() const { return piece_count() != 0 && front().is_file(); }

  void append(BlockRef block, const char* data, size_t size);  // copied only when small
  void append_copy(std::string_view bytes);  // fills the tail block where it may, else a new one
  // `size` contiguous bytes at the tail to be written to, then commit(n <= size). For serializers.
  char* prepare(size_t size);
  void commit(size_t size);
  void append_file(SharedFile file, uint64_t offset, uint64_t size);
  void append(Chain&& other);
  // Copies memory (not file ranges) so that small bytes no longer pin large blocks.
  void compact();
  Chain take_front(uint64_t size);  // Requires: size <= this->size()
  void drop_front(uint64_t size);   // Requires: size <= this->size()
  void clear();

  // For writers: pieces in order.
  size_t piece_count() const { return pieces_.size() - first_; }
  const Piece& piece(size_t index) const { return pieces_[first_ + index]; }
  const Piece& front() const { return pieces_[first_]; }
  // For codecs and tests; Requires: no file pieces.
  std::string to_string() const;

 private:
  void push(Piece&& piece);
  char* tail_room(size_t size);

  // A queue: those before first_ are done with, and empty.
  std::vector<Piece, RecycledAllocator<Piece>> pieces_;
  size_t first_ = 0;
  uint64_t size_ = 0;
  uint64_t memory_ = 0;
  BlockRef prepared_;  // between prepare() and commit(), when the tail had no room
};

}  // namespace sluice
