#include "proxy/upstream/keep_alive_lesson.h"

#include <algorithm>
#include <utility>

namespace sluice::upstream {

KeepAliveLesson::News KeepAliveLesson::on_fin(TimePoint now, Duration idle) {
  if (state_ == State::kNone) {
    state_ = State::kOpen;
    began_ = now;
    count_ = 1;
    least_ = most_ = idle;
    return News::kBegun;
  }
  ++count_;
  least_ = std::min(least_, idle);
  most_ = std::max(most_, idle);
  const bool is_burst = state_ == State::kOpen && count_ >= kSeveral && now - began_ <= kBurst &&
                        most_ - least_ > kSameAge;
  if (!is_burst) return News::kMore;
  state_ = State::kBurst;
  return News::kBurst;
}

Duration KeepAliveLesson::conclude() {
  const bool is_lesson = std::exchange(state_, State::kNone) == State::kOpen && least_ >= kLeast;
  return is_lesson ? least_ : Duration{0};
}

}  // namespace sluice::upstream
