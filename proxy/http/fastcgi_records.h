// FastCGI's framing (FastCGI Specification 1.0, §3): a record is eight bytes of head, content,
// padding. Heads for what we send, and FastcgiAnswer, which takes the records of one answer apart
// in the very bytes that were read: STDOUT stays, STDERR is noted down, the rest goes. Calls
// nobody.
//
//   kOpen ── END_REQUEST ──> kOver
//     └── no record, a refusal, too much beside STDOUT ──> kBroken
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/base/result.h"

namespace sluice::http {

// §8: types of records.
enum class FastcgiType : uint8_t {
  kBeginRequest = 1,
  kAbortRequest = 2,
  kEndRequest = 3,
  kParams = 4,
  kStdin = 5,
  kStdout = 6,
  kStderr = 7,
};

constexpr size_t kFastcgiHead = 8;
constexpr size_t kFastcgiContent = 65535;  // at most, in one record

using FastcgiHead = std::array<char, kFastcgiHead>;
// Of a record of the only request a connection of ours carries at a time; without padding.
// Requires: size <= kFastcgiContent.
FastcgiHead fastcgi_head(FastcgiType type, size_t size);

class FastcgiAnswer {
 public:
  // A request is about to be sent; so many bytes of its STDERR are kept.
  // Requires: nothing of the answer before is still to come.
  void begin(size_t most_remarks);
  // What was read, all of it. Moves what is STDOUT to the front, and says how much that is.
  size_t take(char* bytes, size_t size);

  // END_REQUEST has come.
  bool is_over() const { return state_ == State::kOver; }
  bool is_broken() const { return state_ == State::kBroken; }
  // Why it is broken.
  const Error& error() const { return error_; }
  // The application said that it does not carry this request out (§5.5), before any answer.
  bool is_refusal() const { return is_refusal_; }
  // More has come than the answer, or what nobody asked for: the connection is not to be used
  // again.
  bool is_strange() const { return is_strange_; }
  // What came on STDERR since the last time, as it came; the end says how much was left out.
  std::string take_remarks();

 private:
  enum class State : uint8_t { kOpen, kOver, kBroken };
  enum class Part : uint8_t { kStdout, kStderr, kEnd, kNothing };
  // Without a byte of STDOUT between them: nothing that spins, and nothing that never ends.
  static constexpr uint64_t kMostBeside = 16 << 20;

  void begin_record();
  void end_record();
  void take_content(const char* content, size_t size);
  void note(std::string_view remark);
  void conclude();
  void break_off(ErrorCode code, std::string detail);

  State state_ = State::kOver;
  Part part_ = Part::kNothing;
  bool stdout_begun_ = false;
  bool stdout_ended_ = false;
  bool is_refusal_ = false;
  bool is_strange_ = false;
  size_t head_size_ = 0;     // how much of head_ is there
  size_t content_left_ = 0;  // of the record
  size_t padding_left_ = 0;
  size_t end_size_ = 0;  // how much of end_ is there
  FastcgiHead head_{};
  std::array<char, 8> end_{};  // FCGI_EndRequestBody
  uint64_t beside_ = 0;        // since the last byte of STDOUT
  size_t most_remarks_ = 0;
  uint64_t unnoted_ = 0;
  std::string remarks_;  // bounded by most_remarks_
  Error error_;
};

}  // namespace sluice::http
