#include "proxy/http/fastcgi_records.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "proxy/base/assert.h"

namespace sluice::http {
namespace {

constexpr uint8_t kVersion = 1;
constexpr unsigned kRequestId = 1;  // never more than one at a time, so always the same
constexpr unsigned kNullRequestId = 0;

// FCGI_EndRequestBody.protocolStatus (§5.5).
enum class ProtocolStatus : uint8_t { kComplete = 0, kCannotMultiplex, kOverloaded, kUnknownRole };

unsigned byte_of(char c) {
  return static_cast<unsigned char>(c);
}

unsigned number_of(char high, char low) {
  return byte_of(high) << 8 | byte_of(low);
}

}  // namespace

FastcgiHead fastcgi_head(FastcgiType type, size_t size) {
  SLUICE_ASSERT(size <= kFastcgiContent);
  return {static_cast<char>(kVersion),
          static_cast<char>(type),
          0,
          static_cast<char>(kRequestId),
          static_cast<char>(size >> 8),
          static_cast<char>(size & 0xff),
          0,
          0};
}

void FastcgiAnswer::begin(size_t most_remarks) {
  *this = FastcgiAnswer{};
  state_ = State::kOpen;
  most_remarks_ = most_remarks;
}

size_t FastcgiAnswer::take(char* bytes, size_t size) {
  size_t kept = 0;
  size_t at = 0;
  while (at < size && state_ == State::kOpen) {
    const size_t there = size - at;
    size_t used = 0;
    if (head_size_ < kFastcgiHead) {
      used = std::min(there, kFastcgiHead - head_size_);
      std::memcpy(head_.data() + head_size_, bytes + at, used);
      head_size_ += used;
      beside_ += used;
      if (head_size_ == kFastcgiHead) begin_record();
    } else if (content_left_ > 0) {
      used = std::min(there, content_left_);
      if (part_ == Part::kStdout) {
        if (kept != at) std::memmove(bytes + kept, bytes + at, used);
        kept += used;
        beside_ = 0;
      } else {
        take_content(bytes + at, used);
      }
      content_left_ -= used;
    } else {
      used = std::min(there, padding_left_);
      padding_left_ -= used;
      beside_ += used;
    }
    at += used;
    if (head_size_ == kFastcgiHead && content_left_ == 0 && padding_left_ == 0) end_record();
  }
  if (at < size) is_strange_ = true;
  return kept;
}

void FastcgiAnswer::begin_record() {
  if (byte_of(head_[0]) != kVersion) return break_off(ErrorCode::kMalformed, "no FastCGI record");
  const unsigned id = number_of(head_[2], head_[3]);
  content_left_ = number_of(head_[4], head_[5]);
  padding_left_ = byte_of(head_[6]);
  part_ = Part::kNothing;
  if (id != kRequestId) {
    // §3.3: id 0 is for management, which nobody here has asked for; who meets a request that is
    // not active ignores it.
    if (id != kNullRequestId) is_strange_ = true;
  } else if (head_[1] == static_cast<char>(FastcgiType::kStdout)) {
    part_ = Part::kStdout;
    if (content_left_ > 0 && stdout_ended_) {
      return break_off(ErrorCode::kMalformed, "STDOUT goes on after its end");
    }
    if (content_left_ > 0) stdout_begun_ = true;
    if (content_left_ == 0) stdout_ended_ = true;
  } else if (head_[1] == static_cast<char>(FastcgiType::kStderr)) {
    part_ = Part::kStderr;
  } else if (head_[1] == static_cast<char>(FastcgiType::kEndRequest)) {
    part_ = Part::kEnd;
    if (content_left_ < end_.size()) {
      return break_off(ErrorCode::kMalformed, "END_REQUEST is too short");
    }
  } else {
    is_strange_ = true;
  }
}

void FastcgiAnswer::take_content(const char* content, size_t size) {
  beside_ += size;
  if (part_ == Part::kStderr) note({content, size});
  if (part_ != Part::kEnd) return;
  const size_t wanted = std::min(size, end_.size() - end_size_);
  std::memcpy(end_.data() + end_size_, content, wanted);
  end_size_ += wanted;
}

void FastcgiAnswer::note(std::string_view remark) {
  const size_t room = most_remarks_ - std::min(most_remarks_, remarks_.size());
  remarks_ += remark.substr(0, room);
  if (remark.size() > room) unnoted_ += remark.size() - room;
}

void FastcgiAnswer::end_record() {
  head_size_ = 0;
  if (state_ != State::kOpen) return;
  if (part_ == Part::kEnd) return conclude();
  if (beside_ > kMostBeside) break_off(ErrorCode::kTooLarge, "too much beside STDOUT");
}

void FastcgiAnswer::conclude() {
  const unsigned status = byte_of(end_[4]);
  if (status == static_cast<unsigned>(ProtocolStatus::kComplete)) {
    state_ = State::kOver;
    return;
  }
  is_refusal_ = !stdout_begun_ && status <= static_cast<unsigned>(ProtocolStatus::kUnknownRole);
  switch (static_cast<ProtocolStatus>(status)) {
    case ProtocolStatus::kComplete: break;
    case ProtocolStatus::kCannotMultiplex:
      return break_off(ErrorCode::kUnsupported, "the application says FCGI_CANT_MPX_CONN");
    case ProtocolStatus::kOverloaded:
      return break_off(ErrorCode::kOverloaded, "the application says FCGI_OVERLOADED");
    case ProtocolStatus::kUnknownRole:
      return break_off(ErrorCode::kUnsupported, "the application says FCGI_UNKNOWN_ROLE");
  }
  break_off(ErrorCode::kMalformed, fmt::format("END_REQUEST with protocol status {}", status));
}

void FastcgiAnswer::break_off(ErrorCode code, std::string detail) {
  state_ = State::kBroken;
  error_ = {code, Side::kUpstream, std::move(detail)};
}

std::string FastcgiAnswer::take_remarks() {
  std::string taken = std::exchange(remarks_, {});
  if (unnoted_ > 0 && most_remarks_ > 0) taken += fmt::format("... ({} bytes more)", unnoted_);
  unnoted_ = 0;
  return taken;
}

}  // namespace sluice::http
