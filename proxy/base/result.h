// Result<T> and Status: what an operation that may fail returns. An Error says what happened
// (code), who is to blame (side), and a detail for the log that no client ever sees. Values, any
// thread. Not std::expected: gcc 12 has it only under -std=c++23, clang 14 cannot parse it there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace sluice {

enum class Side : uint8_t { kClient, kUpstream, kUs };

enum class ErrorCode : uint8_t {
  kMalformed,     // breaks the grammar or the framing rules
  kTooLarge,      // over a limit
  kUnsupported,   // right, but not something we do
  kTimeout,       // a deadline passed
  kRefused,       // the connection was refused, or nobody listens on that path
  kUnreachable,   // no route, name not resolved, permission
  kWouldBlock,    // EAGAIN on connect: a unix socket's backlog is full
  kClosed,        // an orderly end where there should be more
  kReset,         // RST, EPIPE
  kNoSpace,       // ENOSPC, EDQUOT
  kNoDescriptor,  // EMFILE, ENFILE
  kNotFound,      // no such file, key or name
  kInvalid,       // a value that cannot be used (configuration, command line)
  kOverloaded,    // a ceiling of ours
  kCancelled,     // we were asked to stop
  kSystem,        // any other errno; the detail says which
};

std::string_view name_of(ErrorCode code);
std::string_view name_of(Side side);

struct Error {
  ErrorCode code = ErrorCode::kSystem;
  Side side = Side::kUs;
  std::string detail;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(ErrorCode code, Side side, std::string detail) {
  return tl::unexpected<Error>(Error{code, side, std::move(detail)});
}

// errno → Error; `what` names the operation ("connect 127.0.0.1:8000").
Error error_from_errno(int number, Side side, std::string_view what);

inline tl::unexpected<Error> fail_errno(int number, Side side, std::string_view what) {
  return tl::unexpected<Error>(error_from_errno(number, side, what));
}

}  // namespace sluice
