// Intake: the bytes a connection has read and nobody has used yet, in one block of the thread's
// pool. Payload leaves as windows on that block, so reading costs no copy; a fresh block is taken
// once the windows leave too little room. A member of a codec; holds no block while it is empty and
// at rest.
#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/base/block.h"
#include "proxy/net/transport.h"

namespace sluice::http {

class Intake {
 public:
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  std::string_view bytes() const {
    return block_ ? std::string_view{block_->data() + begin_, size()} : std::string_view{};
  }
  const BlockRef& block() const { return block_; }

  // Requires: n <= size().
  void consume(size_t n) { begin_ += n; }
  // Bytes that somebody else read from this connection before us.
  void put(std::string_view already_read);
  // One read. What is unused stays contiguous: a block that is full of it grows, up to `ceiling`;
  // there it says kBlocked, so whoever waits for a whole line must have refused it by then.
  net::Io fill(net::Transport& transport, size_t ceiling);
  // The bytes that came last, to be changed; and without so many of them. Requires: n <= size(),
  // and no window points there.
  char* tail(size_t n) { return block_->data() + end_ - n; }
  void drop_tail(size_t n) { end_ -= n; }
  // Whether fill() could read without moving or growing: for reading ahead of the demand.
  bool has_room() const { return !block_ || block_->capacity() - end_ >= kLeastRoom; }
  // Gives the block back if no bytes are in it; where many are held, also for one that just fits
  // the few bytes there are (a head that trickles). A block that windows still point at is kept on
  // with its room: a trickle of small reads then shares it instead of pinning one each.
  void rest();
  size_t held() const { return block_ ? block_->capacity() : 0; }
  // Drops everything.
  void clear() { *this = Intake{}; }

 private:
  static constexpr size_t kLeastRoom = 4096;
  static constexpr size_t kMany = 64 * Block::kSize;  // as many as a thread keeps for itself
  bool make_room(size_t ceiling);

  BlockRef block_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace sluice::http
