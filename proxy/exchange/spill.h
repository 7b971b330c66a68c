// SpillFile: an unlinked file that takes a body beyond its share of memory. SpillBudget: the
// ceiling of all spill files of the process together, and where they lie. A file that cannot grow
// (disk full, over the budget) ends the request that uploads, slows the answer that is taken, and
// never harms the process. Files belong to one thread; the budget to all.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "proxy/base/chain.h"
#include "proxy/base/result.h"

namespace sluice::exchange {

class SpillBudget {
 public:
  SpillBudget(std::string folder, uint64_t ceiling)
      : folder_(std::move(folder)), ceiling_(ceiling) {}

  bool take(uint64_t size);
  void give_back(uint64_t size) { used_.fetch_sub(size, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  void set_ceiling(uint64_t ceiling) { ceiling_.store(ceiling, std::memory_order_relaxed); }
  // Another one for the files to come; those that are open stay.
  void set_folder(std::string folder) {
    const std::lock_guard lock(mutex_);
    folder_ = std::move(folder);
  }
  std::string folder() const {
    const std::lock_guard lock(mutex_);
    return folder_;
  }

 private:
  mutable std::mutex mutex_;  // taken once a file, not once a request
  std::string folder_;        // guarded by mutex_
  std::atomic<uint64_t> ceiling_;
  std::atomic<uint64_t> used_{0};
};

class SpillFile {
 public:
  static Result<SpillFile> make(SpillBudget& budget);
  SpillFile(SpillFile&& other) noexcept;
  SpillFile& operator=(SpillFile&&) = delete;
  ~SpillFile();

  // Writes at the end. kNoSpace: the disk is full; kOverloaded: the budget is.
  Status append(const Chain& bytes);
  uint64_t size() const { return size_; }
  const SharedFile& file() const { return file_; }

 private:
  SpillFile(SpillBudget& budget, SharedFile file) : budget_(&budget), file_(std::move(file)) {}

  SpillBudget* budget_;
  SharedFile file_;
  uint64_t size_ = 0;
};

}  // namespace sluice::exchange
