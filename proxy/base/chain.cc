#include "proxy/base/chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/base/assert.h"

namespace sluice {
namespace {

// So little is cheaper copied behind what is there than written as a piece of its own.
constexpr size_t kCopied = 1024;
constexpr size_t kFewPieces = 4;  // most chains never have more

}  // namespace

Chain::Chain(Chain&& other) noexcept {
  *this = std::move(other);
}

Chain& Chain::operator=(Chain&& other) noexcept {
  if (this == &other) return *this;
  pieces_ = std::move(other.pieces_);
  first_ = std::exchange(other.first_, 0);
  size_ = std::exchange(other.size_, 0);
  memory_ = std::exchange(other.memory_, 0);
  prepared_ = std::move(other.prepared_);
  return *this;
}

Chain::~Chain() = default;

void Chain::push(Piece&& piece) {
  if (pieces_.size() == pieces_.capacity()) {
    const bool mostly_done = first_ > 0 && first_ >= piece_count();
    if (mostly_done) {
      pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
      first_ = 0;
    } else {
      pieces_.reserve(std::max(kFewPieces, pieces_.size() * 2));
    }
  }
  pieces_.push_back(std::move(piece));
}

void Chain::append(BlockRef block, const char* data, size_t size) {
  if (size == 0) return;
  size_ += size;
  memory_ += size;
  if (!pieces_.empty()) {
    Piece& last = pieces_.back();
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
  push({std::move(block), data, nullptr, 0, size});
}

void Chain::append_copy(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!pieces_.empty()) {
      Piece& last = pieces_.back();
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
  Piece& last = pieces_.back();
  if (last.is_file() || last.block->is_shared()) return nullptr;
  char* end = const_cast<char*>(last.data) + last.size;
  const auto room = static_cast<size_t>(last.block->data() + last.block->capacity() - end);
  return room >= size ? end : nullptr;
}

char* Chain::prepare(size_t size) {
  if (!pieces_.empty()) {
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
  pieces_.back().size += size;
  size_ += size;
  memory_ += size;
}

void Chain::append_file(SharedFile file, uint64_t offset, uint64_t size) {
  if (size == 0) return;
  size_ += size;
  if (!pieces_.empty()) {
    Piece& last = pieces_.back();
    if (last.file == file && last.offset + last.size == offset) {
      last.size += size;
      return;
    }
  }
  push({BlockRef{}, nullptr, std::move(file), offset, size});
}

void Chain::append(Chain&& other) {
  if (pieces_.empty()) {
    *this = std::move(other);
    return;
  }
  for (size_t i = other.first_; i < other.pieces_.size(); ++i) {
    Piece& piece = other.pieces_[i];
    if (piece.is_file()) {
      append_file(std::move(piece.file), piece.offset, piece.size);
    } else {
      append(std::move(piece.block), piece.data, static_cast<size_t>(piece.size));
    }
  }
  other.clear();
}

uint64_t Chain::pinned() const {
  uint64_t bytes = 0;
  const Block* last = nullptr;
  for (size_t i = first_; i < pieces_.size(); ++i) {
    const Block* block = pieces_[i].block.get();
    if (block != nullptr && block != last) bytes += block->capacity();
    last = block;
  }
  return bytes;
}

void Chain::compact() {
  Chain tight;
  for (size_t i = first_; i < pieces_.size(); ++i) {
    Piece& piece = pieces_[i];
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
  if (size_ == 0) return clear();
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
    }
  }
}

void Chain::clear() {
  pieces_.clear();
  first_ = 0;
  size_ = 0;
  memory_ = 0;
  prepared_.reset();
}

std::string Chain::to_string() const {
  std::string text;
  text.reserve(static_cast<size_t>(size_));
  for (size_t i = 0; i < piece_count(); ++i) {
    SLUICE_ASSERT(!piece(i).is_file());
    text.append(piece(i).view());
  }
  return text;
}

}  // namespace sluice
