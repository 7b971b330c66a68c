#include "proxy/base/chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/base/assert.h"

namespace sluice {
namespace {

// So little is cheaper copied behind what is there than written as a piece of its own.
constexpr size_t kCopied = 1024;

}  // namespace

Chain::Chain(Chain&& other) noexcept {
  *this = std::move(other);
}

Chain& Chain::operator=(Chain&& other) noexcept {
  if (this == &other) return *this;
  pieces_ = std::move(other.pieces_);
  first_ = std::exchange(other.first_, 0);
  count_ = std::exchange(other.count_, 0);
  size_ = std::exchange(other.size_, 0);
  memory_ = std::exchange(other.memory_, 0);
  prepared_ = std::move(other.prepared_);
  return *this;
}

Chain::~Chain() = default;

Chain::Piece& Chain::push() {
  if (first_ + count_ == pieces_.size()) {
    if (first_ > 0 && first_ >= count_) {
      std::move(&pieces_[first_], &pieces_[first_] + count_, &pieces_[0]);
    } else {
      decltype(pieces_) larger(std::max<size_t>(4, pieces_.size() * 2));
      if (count_ > 0) std::move(&pieces_[first_], &pieces_[first_] + count_, &larger[0]);
      pieces_ = std::move(larger);
    }
    first_ = 0;
  }
  return pieces_[first_ + count_++];
}

void Chain::append(BlockRef block, const char* data, size_t size) {
  if (size == 0) return;
  size_ += size;
  memory_ += size;
  if (count_ > 0) {
    Piece& last = pieces_[first_ + count_ - 1];
    if (last.block.get() == block.get() && last.data + last.size == data) {
      last.size += size;
      return;
    }
    if (char* end = size <= kCopied ? tail_room(size) : nullptr) {
      std::memcpy(end, data, size);
      last.size += size;
      return;
    }
  }
  Piece& piece = push();
  piece = Piece{std::move(block), data, nullptr, 0, size};
}

void Chain::append_copy(std::string_view bytes) {
  while (!bytes.empty()) {
    if (count_ > 0) {
      Piece& last = pieces_[first_ + count_ - 1];
      if (!last.is_file() && !last.block->is_shared()) {
        char* end = const_cast<char*>(last.data) + last.size;
        const size_t room = static_cast<size_t>(last.block->data() + last.block->capacity() - end);
        const size_t n = std::min(room, bytes.size());
        std::memcpy(end, bytes.data(), n);
        last.size += n;
        size_ += n;
        memory_ += n;
        bytes.remove_prefix(n);
        if (bytes.empty()) return;
      }
    }
    const size_t want = bytes.size() < 4096 ? 4096 : Block::kSize;
    BlockRef block = want == Block::kSize ? BlockRef::make() : BlockRef::make(want);
    const size_t n = std::min(block->capacity(), bytes.size());
    std::memcpy(block->data(), bytes.data(), n);
    const char* data = block->data();
    append(std::move(block), data, n);
    bytes.remove_prefix(n);
  }
}

// Where `size` more bytes fit behind the last piece; null when they do not, or its block is shared.
char* Chain::tail_room(size_t size) {
  Piece& last = pieces_[first_ + count_ - 1];
  if (last.is_file() || last.block->is_shared()) return nullptr;
  char* end = const_cast<char*>(last.data) + last.size;
  const auto room = static_cast<size_t>(last.block->data() + last.block->capacity() - end);
  return room >= size ? end : nullptr;
}

char* Chain::prepare(size_t size) {
  if (count_ > 0) {
    if (char* end = tail_room(size)) return end;
  }
  prepared_ = size <= Block::kSize ? BlockRef::make() : BlockRef::make(size);
  return prepared_->data();
}

void Chain::commit(size_t size) {
  if (prepared_) {
    const char* data = prepared_->data();
    append(std::exchange(prepared_, BlockRef{}), data, size);
    return;
  }
  pieces_[first_ + count_ - 1].size += size;
  size_ += size;
  memory_ += size;
}

void Chain::append_file(SharedFile file, uint64_t offset, uint64_t size) {
  if (size == 0) return;
  size_ += size;
  if (count_ > 0) {
    Piece& last = pieces_[first_ + count_ - 1];
    if (last.file == file && last.offset + last.size == offset) {
      last.size += size;
      return;
    }
  }
  push() = Piece{BlockRef{}, nullptr, std::move(file), offset, size};
}

void Chain::append(Chain&& other) {
  if (count_ == 0) {
    *this = std::move(other);
    return;
  }
  for (uint32_t i = 0; i < other.count_; ++i) {
    Piece& piece = other.pieces_[other.first_ + i];
    if (piece.is_file()) {
      append_file(std::move(piece.file), piece.offset, piece.size);
    } else {
      append(std::move(piece.block), piece.data, static_cast<size_t>(piece.size));
    }
  }
  other.clear();
}

void Chain::compact() {
  Chain tight;
  for (uint32_t i = 0; i < count_; ++i) {
    Piece& piece = pieces_[first_ + i];
    if (piece.is_file()) {
      tight.append_file(std::move(piece.file), piece.offset, piece.size);
    } else if (piece.size * 4 >= piece.block->capacity() * 3) {
      tight.append(std::move(piece.block), piece.data, static_cast<size_t>(piece.size));
    } else {
      tight.append_copy(piece.view());
    }
  }
  *this = std::move(tight);
}

Chain Chain::take_front(uint64_t size) {
  SLUICE_ASSERT(size <= size_);
  Chain taken;
  if (size == size_) {
    taken = std::move(*this);
    return taken;
  }
  while (size > 0) {
    Piece& piece = pieces_[first_];
    const uint64_t n = std::min(size, piece.size);
    if (piece.is_file()) {
      taken.append_file(piece.file, piece.offset, n);
    } else {
      taken.append(piece.block, piece.data, static_cast<size_t>(n));
    }
    drop_front(n);
    size -= n;
  }
  return taken;
}

void Chain::drop_front(uint64_t size) {
  SLUICE_ASSERT(size <= size_);
  size_ -= size;
  while (size > 0) {
    Piece& piece = pieces_[first_];
    const uint64_t n = std::min(size, piece.size);
    if (piece.is_file()) {
      piece.offset += n;
    } else {
      piece.data += n;
      memory_ -= n;
    }
    piece.size -= n;
    size -= n;
    if (piece.size == 0) {
      piece = Piece{};
      ++first_;
      if (--count_ == 0) first_ = 0;
    }
  }
}

void Chain::clear() {
  *this = Chain{};
}

std::string Chain::to_string() const {
  std::string text;
  text.reserve(static_cast<size_t>(size_));
  for (size_t i = 0; i < count_; ++i) {
    SLUICE_ASSERT(!piece(i).is_file());
    text.append(piece(i).view());
  }
  return text;
}

}  // namespace sluice
