// Time as the program sees it. Deadlines and durations are steady; wall time is only for logs and
// Date headers, so a clock that jumps never ends a request. Tests pass their own TimePoint.
#pragma once

#include <chrono>

namespace sluice {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

inline TimePoint steady_now() {
  return std::chrono::steady_clock::now();
}
inline WallTime wall_now() {
  return std::chrono::system_clock::now();
}

constexpr double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace sluice
