#include "proxy/observe/access_log_queue.h"

#include <sys/eventfd.h>

#include "proxy/base/assert.h"

namespace sluice::observe {

Bell::Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SLUICE_ASSERT(fd_.is_open());
}

void Bell::ring() const {
  const uint64_t one = 1;
  // Fails only when it has been rung 2^64 - 2 times unheard: then it is ringing anyway.
  [[maybe_unused]] const auto n = ::write(fd_.get(), &one, sizeof one);
}

void Bell::silence() const {
  uint64_t rings = 0;
  [[maybe_unused]] const auto n = ::read(fd_.get(), &rings, sizeof rings);
}

AccessLogQueue::AccessLogQueue(Bell& bell, size_t chunk, size_t waiting)
    : bell_(bell), chunk_size_(chunk), most_waiting_(waiting), ring_(waiting + 2) {
  SLUICE_ASSERT(chunk >= AccessLogFormatter::kMostLine && waiting > 0);
}

void AccessLogQueue::add(const Record& record) {
  const AccessLogFormat format = format_.load(std::memory_order_relaxed);
  if (format == AccessLogFormat::kOff) return;
  Chunk* current = &chunk(head_.load(std::memory_order_relaxed));
  if (current->bytes == nullptr) current->bytes.reset(new char[chunk_size_]);
  if (chunk_size_ - filled_ < AccessLogFormatter::room_for(record)) {
    if (!roll()) return lose();
    current = &chunk(head_.load(std::memory_order_relaxed));
  }
  char* const start = current->bytes.get() + filled_;
  filled_ += static_cast<uint32_t>(formatter_.format(record, format, start) - start);
  current->filled.store(filled_, std::memory_order_release);
  bell_.ring_if_dozing();
}

// On to the next chunk; false when too many wait already.
bool AccessLogQueue::roll() {
  const uint64_t next = head_.load(std::memory_order_relaxed) + 1;
  const uint64_t tail = tail_.load(std::memory_order_acquire);
  if (next - tail > most_waiting_) return false;
  // The memory the writer left last is the warmest; what a burst needed beyond that goes back.
  std::unique_ptr<char[]> bytes;
  for (; reclaimed_ < tail; ++reclaimed_) bytes = std::move(chunk(reclaimed_).bytes);
  if (bytes == nullptr) bytes.reset(new char[chunk_size_]);
  Chunk& fresh = chunk(next);
  fresh.bytes = std::move(bytes);
  fresh.filled.store(0, std::memory_order_relaxed);
  filled_ = 0;
  head_.store(next, std::memory_order_release);
  bell_.ring();
  return true;
}

std::string_view AccessLogQueue::front() {
  for (;;) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    // Order matters: once the head is seen beyond a chunk, what is read of its filling is final.
    const uint64_t head = head_.load(std::memory_order_acquire);
    const uint32_t filled = chunk(tail).filled.load(std::memory_order_acquire);
    if (written_ < filled) return {chunk(tail).bytes.get() + written_, filled - written_};
    if (tail == head) return {};
    written_ = 0;
    tail_.store(tail + 1, std::memory_order_release);
  }
}

void AccessLogQueue::pop(size_t size) {
  written_ += static_cast<uint32_t>(size);
}

}  // namespace sluice::observe
