// BodyStore: bytes on the way that the other side does not take yet: first in memory, then in a
// spill file, in order, up to a ceiling. The shield of synchronous workers: it takes an upload at
// the client's pace before the application is asked, and an answer at the application's pace before
// the client has it. Owned by a relay; its thread only.
#pragma once

#include <cstdint>
#include <optional>

#include "proxy/base/chain.h"
#include "proxy/config/config.h"
#include "proxy/exchange/spill.h"

namespace sluice::exchange {

class BodyStore {
 public:
  // `memory_ceiling`: above so many bytes held in blocks by this thread, everything spills
  // (MemoryGuard::spill_mark).
  BodyStore(SpillBudget& budget, const config::Buffering& limits, uint64_t memory_ceiling)
      : budget_(budget), limits_(limits), memory_ceiling_(memory_ceiling) {}

  // kTooLarge: over the disk's share of this body; kNoSpace, kOverloaded: see SpillFile. What is
  // refused is still the caller's. `settled`: no more will come, so that what is left in large
  // blocks need not be copied together.
  Status append(Chain&& bytes, bool settled);
  // A share of the ceiling is still free.
  bool has_room() const { return size_ < limits_.memory.count || written() < limits_.disk.count; }
  bool empty() const { return size_ == 0; }
  uint64_t size() const { return size_; }
  uint64_t held() const { return memory_.pinned(); }  // by what is in memory
  bool has_spilled() const { return file_.has_value(); }
  bool is_short() const { return Block::held() > memory_ceiling_; }

  // From the front, all that is there; consumed.
  Chain take();
  // All that is there, again and again: for replays. The pieces are shared, not copied.
  Chain replay() const;
  // Gives memory and file back; what was taken or replayed stays whole.
  void clear();

 private:
  Status spill(const Chain& bytes);
  uint64_t written() const { return file_ ? file_->size() : 0; }

  SpillBudget& budget_;
  const config::Buffering limits_;
  const uint64_t memory_ceiling_;
  Chain memory_;
  std::optional<SpillFile> file_;  // holds what came after memory_
  uint64_t taken_ = 0;             // from the front of the file
  uint64_t size_ = 0;
};

}  // namespace sluice::exchange
