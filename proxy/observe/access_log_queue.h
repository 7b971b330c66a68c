// AccessLogQueue: the way of one worker's lines to the writer thread. The worker formats straight
// into a chunk and publishes how far it is filled; the writer writes from the chunk behind it. No
// lock and no system call per line: the bell is rung when a chunk is full or the writer sleeps
// deeply. Chunks stand in a ring of fixed size; when it is full, lines are lost and counted. Owned
// by AccessLog.
//
//   worker:  add()  ──▶ [ chunk ][ chunk ][ chunk ▒▒   ] ──▶  front(), pop()  :writer
//                        tail_ (writer's)  head_ (worker's)
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/observe/access_log_format.h"
#include "proxy/observe/record.h"

namespace sluice::observe {

// What wakes the writer. Any thread rings.
class Bell {
 public:
  Bell();
  int fd() const { return fd_.get(); }
  void ring() const;
  void silence() const;
  // The writer is about to sleep until rung: the next line has to ring.
  void doze() { dozing_.store(true, std::memory_order_relaxed); }
  void wake() { dozing_.store(false, std::memory_order_relaxed); }
  void ring_if_dozing() {
    if (dozing_.load(std::memory_order_relaxed) && dozing_.exchange(false)) ring();
  }

 private:
  const Fd fd_;
  std::atomic<bool> dozing_{false};
};

class AccessLogQueue {
 public:
  // Holds at most `waiting` full chunks. Requires: chunk >= AccessLogFormatter::kMostLine, waiting
  // > 0.
  AccessLogQueue(Bell& bell, size_t chunk, size_t waiting);

  // The worker's side.
  void add(const Record& record);

  // The writer's side: whole lines (or the rest of one) that are not written yet, then how many
  // were.
  std::string_view front();
  void pop(size_t size);

  // Any thread.
  void set_format(AccessLogFormat format) { format_.store(format, std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  struct Chunk {
    std::unique_ptr<char[]>
        bytes;  // the worker's to give and take, while not between tail and head
    std::atomic<uint32_t> filled{0};  // ends at a line's end
  };
  Chunk& chunk(uint64_t number) { return ring_[number % ring_.size()]; }
  bool roll();
  void lose() { lost_.store(lost() + 1, std::memory_order_relaxed); }

  Bell& bell_;
  const size_t chunk_size_;
  const uint64_t most_waiting_;
  std::vector<Chunk> ring_;  // never grows: most_waiting_ full ones, one being filled, one spare
  std::atomic<AccessLogFormat> format_{AccessLogFormat::kJson};

  // The worker's. Numbers of chunks only grow; the ring gives them places.
  alignas(64) AccessLogFormatter formatter_;
  uint32_t filled_ = 0;     // of chunk head_
  uint64_t reclaimed_ = 0;  // chunks below gave their bytes back
  std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> lost_{0};

  // The writer's.
  alignas(64) std::atomic<uint64_t> tail_{0};
  uint32_t written_ = 0;  // of chunk tail_
};

}  // namespace sluice::observe
