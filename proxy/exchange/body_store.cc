#include "proxy/exchange/body_store.h"

#include <utility>

namespace sluice::exchange {
namespace {

// A piece this small is copied rather than let pin the 64 KiB block it came in.
constexpr uint64_t kSmall = 8 * 1024;

}  // namespace

Status BodyStore::append(Chain&& bytes, bool settled) {
  if (bytes.empty()) return {};
  const bool to_memory =
      !file_ && memory_.size() + bytes.size() <= limits_.memory.count && !is_short();
  if (!to_memory) {
    const auto spilled = spill(bytes);
    if (spilled) bytes.clear();
    return spilled;
  }
  size_ += bytes.size();
  if (settled || bytes.size() >= kSmall) {
    memory_.append(std::move(bytes));
  } else {
    for (size_t i = 0; i < bytes.piece_count(); ++i) memory_.append_copy(bytes.piece(i).view());
  }
  return {};
}

Status BodyStore::spill(const Chain& bytes) {
  if (written() + bytes.size() > limits_.disk.count) {
    return fail(ErrorCode::kTooLarge, Side::kUs, "the body is over buffering.disk");
  }
  if (!file_) {
    auto made = SpillFile::make(budget_);
    if (!made) return tl::unexpected(made.error());
    file_.emplace(std::move(*made));
  }
  auto appended = file_->append(bytes);
  if (appended) size_ += bytes.size();
  return appended;
}

Chain BodyStore::take() {
  Chain all = std::move(memory_);
  memory_ = Chain{};
  if (file_) {
    all.append_file(file_->file(), taken_, file_->size() - taken_);
    taken_ = file_->size();
  }
  size_ = 0;
  return all;
}

void BodyStore::clear() {
  memory_.clear();
  file_.reset();
  taken_ = 0;
  size_ = 0;
}

Chain BodyStore::replay() const {
  Chain all;
  for (size_t i = 0; i < memory_.piece_count(); ++i) {
    const Chain::Piece& piece = memory_.piece(i);
    all.append(piece.block, piece.data, static_cast<size_t>(piece.size));
  }
  if (file_) all.append_file(file_->file(), taken_, file_->size() - taken_);
  return all;
}

}  // namespace sluice::exchange
