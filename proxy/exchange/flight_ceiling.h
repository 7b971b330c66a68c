// FlightCeiling: how many requests the whole process has under way at most (limits.in_flight).
// Shared by the workers; an atomic is touched only where the ceiling is set. FlightPlace: one
// request's place, given back at its end.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::exchange {

class FlightCeiling {
 public:
  void set(uint32_t most) { most_.store(most, std::memory_order_relaxed); }  // 0: none
  uint32_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  friend class FlightPlace;
  std::atomic<uint32_t> most_{0};
  std::atomic<uint32_t> used_{0};
};

class FlightPlace {
 public:
  FlightPlace() = default;
  FlightPlace(const FlightPlace&) = delete;
  FlightPlace& operator=(const FlightPlace&) = delete;
  ~FlightPlace() { give_back(); }

  // False: all are taken. Requires: it has none.
  bool take(FlightCeiling& of) {
    const uint32_t most = of.most_.load(std::memory_order_relaxed);
    if (most == 0) return true;
    const uint32_t before = of.used_.fetch_add(1, std::memory_order_relaxed);
    ceiling_ = &of;
    if (before < most) return true;
    give_back();
    return false;
  }
  void give_back() {
    if (ceiling_ != nullptr) ceiling_->used_.fetch_sub(1, std::memory_order_relaxed);
    ceiling_ = nullptr;
  }

 private:
  FlightCeiling* ceiling_ = nullptr;
};

}  // namespace sluice::exchange
