// Arena: bytes that live as long as one message. Strings are copied in once and named by views,
// which stay valid when the arena moves. Owned by a message head; its size is bounded by the head's
// limits.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "proxy/base/recycled.h"

namespace sluice {

class Arena {
 public:
  Arena() = default;
  Arena(Arena&& other) noexcept { *this = std::move(other); }
  Arena& operator=(Arena&& other) noexcept {
    chunks_ = std::move(other.chunks_);
    large_ = std::move(other.large_);
    next_ = std::exchange(other.next_, nullptr);
    left_ = std::exchange(other.left_, 0);
    return *this;
  }

  // Room for `size` bytes, not cleared.
  char* allocate(size_t size) {
    if (size > kChunk) return allocate_large(size);
    if (size > left_) grow();
    char* at = next_;
    next_ += size;
    left_ -= size;
    return at;
  }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* at = allocate(text.size());
    std::memcpy(at, text.data(), text.size());
    return {at, text.size()};
  }

 private:
  static constexpr size_t kChunk = 1024;  // most heads fit in one
  // Lists end where they began: each link owns the one made before it.
  // (Their ends are calls, so that the end of an empty arena is a look at two pointers.)
  struct Chunk : Recycled<Chunk> {
    ~Chunk();
    std::unique_ptr<Chunk> before;
    char bytes[kChunk];
  };
  struct Large {
    ~Large();
    std::unique_ptr<Large> before;
    std::unique_ptr<char[]> bytes;
  };

  void grow() {
    std::unique_ptr<Chunk> chunk(new Chunk);  // default-initialized: the bytes are not cleared
    chunk->before = std::move(chunks_);
    chunks_ = std::move(chunk);
    next_ = chunks_->bytes;
    left_ = kChunk;
  }
  char* allocate_large(size_t size) {
    auto large = std::make_unique<Large>();
    large->before = std::move(large_);
    large->bytes.reset(new char[size]);
    large_ = std::move(large);
    return large_->bytes.get();
  }

  std::unique_ptr<Chunk> chunks_;
  std::unique_ptr<Large> large_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace sluice
