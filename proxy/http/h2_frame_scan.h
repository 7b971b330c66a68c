// H2FrameScan: finds the heads of frames (RFC 9113 §4.1) in what is read, however it is cut, before
// nghttp2 gets it: some frames it ignores that are errors. Owned by the connection; no more than a
// position and the few bytes of a head that is not whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::http {

class H2FrameScan {
 public:
  static constexpr uint8_t kData = 0;
  static constexpr uint8_t kPriority = 2;
  static constexpr uint8_t kReset = 3;
  static constexpr uint8_t kContinuation = 9;  // the last of RFC 9113
  static constexpr uint8_t kPriorityUpdate = 16;

  // `skipped`: bytes before the first frame.
  explicit H2FrameScan(size_t skipped) : skip_(skipped) {}

  // Goes on from `at` to the end of the next head; moves `at` there and says where in `bytes` its
  // frame, or what is left of its head, begins. npos: no head ends in `bytes`.
  size_t next(std::string_view bytes, size_t& at) {
    if (skip_ >= bytes.size() - at) {
      skip_ -= bytes.size() - at;
      at = bytes.size();
      return std::string_view::npos;
    }
    at += skip_;
    skip_ = 0;
    const size_t begin = at;
    while (have_ < wanted()) {
      const size_t n = std::min(wanted() - have_, bytes.size() - at);
      if (n == 0) return std::string_view::npos;
      std::memcpy(head_ + have_, bytes.data() + at, n);
      have_ += n;
      at += n;
    }
    skip_ = length() - (have_ - kHead);
    have_ = 0;
    return begin;
  }

  // Of the head that was found.
  uint8_t type() const { return head_[3]; }
  bool is_unknown() const { return type() > kContinuation && type() != kPriorityUpdate; }
  int32_t stream() const { return number(5); }
  // A PRIORITY frame's: whom the stream depends on.
  int32_t dependency() const { return number(kHead); }
  bool has_dependency() const { return type() == kPriority && length() >= 4; }

 private:
  static constexpr size_t kHead = 9;

  size_t length() const {
    return static_cast<size_t>(head_[0]) << 16 | static_cast<size_t>(head_[1]) << 8 | head_[2];
  }
  int32_t number(size_t at) const {
    const uint32_t word = static_cast<uint32_t>(head_[at]) << 24 |
                          static_cast<uint32_t>(head_[at + 1]) << 16 |
                          static_cast<uint32_t>(head_[at + 2]) << 8 | head_[at + 3];
    return static_cast<int32_t>(word & 0x7fffffff);
  }
  size_t wanted() const { return have_ < kHead || !has_dependency() ? kHead : kHead + 4; }

  size_t skip_;
  size_t have_ = 0;
  uint8_t head_[kHead + 4] = {};
};

}  // namespace sluice::http
