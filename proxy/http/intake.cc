#include "proxy/http/intake.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::http {

void Intake::put(std::string_view already_read) {
  if (already_read.empty()) return;
  const size_t whole = size() + already_read.size();
  BlockRef larger = whole <= Block::kSize ? BlockRef::make() : BlockRef::make(whole);
  if (!empty()) std::memcpy(larger->data(), bytes().data(), size());
  std::memcpy(larger->data() + size(), already_read.data(), already_read.size());
  block_ = std::move(larger);
  begin_ = 0;
  end_ = whole;
}

bool Intake::make_room(size_t ceiling) {
  if (!block_) {
    block_ = BlockRef::make();
    begin_ = end_ = 0;
    return true;
  }
  if (empty() && !block_->is_shared()) begin_ = end_ = 0;
  if (block_->capacity() - end_ >= kLeastRoom) return true;
  // Too little room at the tail. Windows may point at what lies before begin_, so bytes only move
  // to another place when nobody else holds the block.
  const size_t unused = size();
  const bool roomy = unused + kLeastRoom <= block_->capacity();
  if (roomy && !block_->is_shared()) {
    std::memmove(block_->data(), block_->data() + begin_, unused);
  } else {
    if (!roomy && block_->capacity() >= ceiling) return block_->capacity() > end_;
    BlockRef next = unused + kLeastRoom <= Block::kSize
                        ? BlockRef::make()
                        : BlockRef::make(std::min(ceiling, unused * 2) + kLeastRoom);
    if (unused > 0) std::memcpy(next->data(), block_->data() + begin_, unused);
    block_ = std::move(next);
  }
  begin_ = 0;
  end_ = unused;
  return true;
}

net::Io Intake::fill(net::Transport& transport, size_t ceiling) {
  if (!make_room(ceiling)) return {};
  const net::Io io = transport.read(block_->data() + end_, block_->capacity() - end_);
  if (io.state == net::Io::State::kOk) end_ += io.count;
  return io;
}

void Intake::rest() {
  if (!block_ || block_->is_shared()) return;
  if (empty()) return clear();
  if (size() > kLeastRoom || block_->capacity() < Block::kSize || Block::held() <= kMany) return;
  BlockRef fitting = BlockRef::make(size());
  std::memcpy(fitting->data(), bytes().data(), size());
  end_ -= begin_;
  begin_ = 0;
  block_ = std::move(fitting);
}

}  // namespace sluice::http
