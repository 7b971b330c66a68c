// Cells: the memory metrics are counted in. Each is written by one thread and read by any: a plain
// load, an addition and a plain store, no lock and no atomic read-modify-write. A reader may see
// one counter a moment before its neighbour; a scrape is no transaction. Cells never move and live
// with their worker.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "proxy/base/assert.h"
#include "proxy/base/clock.h"

namespace sluice::observe {

class Count {
 public:
  void add(uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void add(int64_t by) { value_.store(get() + by, std::memory_order_relaxed); }
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

constexpr size_t kMostBuckets = 24;

// Upper bounds of a histogram's buckets, ascending, at most kMostBuckets; the one above all is
// implied.
using Buckets = std::vector<Duration>;

class HistogramCell {
 public:
  void observe(const Buckets& buckets, Duration value) {
    size_t at = 0;
    while (at < buckets.size() && value > buckets[at]) ++at;
    counts_[at].add();
    nanoseconds_.add(static_cast<uint64_t>(std::max(value, Duration{0}).count()));
  }
  uint64_t count(size_t bucket) const { return counts_[bucket].get(); }
  uint64_t nanoseconds() const { return nanoseconds_.get(); }

 private:
  std::array<Count, kMostBuckets + 1> counts_;  // not cumulative
  Count nanoseconds_;
};

// How often each status code occurred. A few codes cost 72 bytes; whoever invents codes gets
// kMostBlocks * 6 of them and then code 0, "other".
class CodeCounts {
 public:
  CodeCounts() = default;
  ~CodeCounts() { delete more_.load(); }
  CodeCounts(const CodeCounts&) = delete;
  CodeCounts& operator=(const CodeCounts&) = delete;

  void add(int code) { add(code < 100 || code > 999 ? 0 : static_cast<uint16_t>(code), 1); }

  // visit(int code, uint64_t count); any thread.
  template <typename Visit>
  void each(Visit visit) const {
    for (size_t i = 0; i < kCodes; ++i) {
      const uint64_t count = counts_[i].get();
      const int code = codes_[i].load(std::memory_order_relaxed);
      if (count > 0) visit(code == kOtherCode ? 0 : code, count);
    }
    if (const auto* more = more_.load(std::memory_order_acquire)) more->each(visit);
  }

 private:
  static constexpr size_t kCodes = 6;
  static constexpr size_t kMostBlocks = 6;
  static constexpr uint16_t kOtherCode = 1;  // 0 marks a free place

  void add(uint16_t code, size_t depth) {
    const uint16_t wanted = code == 0 ? kOtherCode : code;
    for (size_t i = 0; i < kCodes; ++i) {
      const uint16_t here = codes_[i].load(std::memory_order_relaxed);
      if (here == 0) codes_[i].store(wanted, std::memory_order_relaxed);
      if (here == 0 || here == wanted) return counts_[i].add();
      const bool is_last = depth == kMostBlocks && i + 2 == kCodes;
      if (is_last) return add_other(i + 1);
    }
    auto* more = more_.load(std::memory_order_relaxed);
    if (more == nullptr) {
      more = new CodeCounts;
      more_.store(more, std::memory_order_release);
    }
    more->add(code, depth + 1);
  }
  void add_other(size_t place) {
    codes_[place].store(kOtherCode, std::memory_order_relaxed);
    counts_[place].add();
  }

  std::array<std::atomic<uint16_t>, kCodes> codes_{};
  std::array<Count, kCodes> counts_;
  std::atomic<CodeCounts*> more_{nullptr};  // owned; only ever set once
};

// Counts under names that come from the code ("connect_refused"). Names are copied, so any view
// will do; beyond kMostReasons the rest is "other". Off the happy path: looks at every name it
// knows.
class ReasonCounts {
 public:
  static constexpr size_t kMostReasons = 64;
  static constexpr size_t kMostSize = 47;

  void add(std::string_view reason) {
    reason = reason.substr(0, kMostSize);
    const size_t used = used_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < used; ++i) {
      if (slots_[i].name() == reason) return slots_[i].count.add();
    }
    if (used == kMostReasons) return other_.add();
    Slot& slot = slots_[used];
    slot.size = reason.size();
    std::copy(reason.begin(), reason.end(), slot.text.begin());
    slot.count.add();
    used_.store(used + 1, std::memory_order_release);
  }

  // visit(std::string_view reason, uint64_t count); any thread.
  template <typename Visit>
  void each(Visit visit) const {
    const size_t used = used_.load(std::memory_order_acquire);
    for (size_t i = 0; i < used; ++i) visit(slots_[i].name(), slots_[i].count.get());
    if (other_.get() > 0) visit(std::string_view("other"), other_.get());
  }

 private:
  struct Slot {
    Count count;
    size_t size = 0;  // fixed, with the text, before the slot is published
    std::array<char, kMostSize> text{};
    std::string_view name() const { return {text.data(), size}; }
  };
  std::array<Slot, kMostReasons> slots_;
  std::atomic<size_t> used_{0};
  Count other_;
};

// Cells by dense id, made sixteen at a time when first touched: ten routes cost a few KiB, ten
// thousand cost what those that are used need. Only the owner makes; any thread finds.
template <typename Cell>
class CellTable {
 public:
  static constexpr uint32_t kMostIds = 10'016;

  CellTable() = default;
  ~CellTable() {
    for (auto& chunk : chunks_) delete chunk.load();
  }
  CellTable(const CellTable&) = delete;
  CellTable& operator=(const CellTable&) = delete;

  Cell& at(uint32_t id) {
    SLUICE_ASSERT(id < kMostIds);
    auto& place = chunks_[id / kPerChunk];
    Chunk* chunk = place.load(std::memory_order_relaxed);
    if (chunk == nullptr) {
      chunk = new Chunk;
      place.store(chunk, std::memory_order_release);
    }
    return (*chunk)[id % kPerChunk];
  }
  // Null: nothing was counted near this id yet.
  const Cell* find(uint32_t id) const {
    const Chunk* chunk = chunks_[id / kPerChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : &(*chunk)[id % kPerChunk];
  }

 private:
  static constexpr uint32_t kPerChunk = 16;
  using Chunk = std::array<Cell, kPerChunk>;
  std::array<std::atomic<Chunk*>, kMostIds / kPerChunk> chunks_{};
};

}  // namespace sluice::observe
