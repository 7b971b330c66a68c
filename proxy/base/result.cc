#include "proxy/base/result.h"

#include <cerrno>
#include <cstring>

namespace sluice {

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kMalformed: return "malformed";
    case ErrorCode::kTooLarge: return "too_large";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kTimeout: return "timeout";
    case ErrorCode::kRefused: return "refused";
    case ErrorCode::kUnreachable: return "unreachable";
    case ErrorCode::kWouldBlock: return "would_block";
    case ErrorCode::kClosed: return "closed";
    case ErrorCode::kReset: return "reset";
    case ErrorCode::kNoSpace: return "no_space";
    case ErrorCode::kNoDescriptor: return "no_descriptor";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kInvalid: return "invalid";
    case ErrorCode::kOverloaded: return "overloaded";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kSystem: return "system";
  }
  return "unknown";
}

std::string_view name_of(Side side) {
  switch (side) {
    case Side::kClient: return "client";
    case Side::kUpstream: return "upstream";
    case Side::kUs: return "sluice";
  }
  return "unknown";
}

namespace {

ErrorCode code_of_errno(int number) {
  switch (number) {
    case ECONNREFUSED: return ErrorCode::kRefused;
    case ENOENT: return ErrorCode::kNotFound;
    case EAGAIN: return ErrorCode::kWouldBlock;
    case ETIMEDOUT: return ErrorCode::kTimeout;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE: return ErrorCode::kReset;
    case ENOSPC:
    case EDQUOT: return ErrorCode::kNoSpace;
    case EMFILE:
    case ENFILE: return ErrorCode::kNoDescriptor;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case EACCES:
    case EPERM: return ErrorCode::kUnreachable;
    default: return ErrorCode::kSystem;
  }
}

}  // namespace

Error error_from_errno(int number, Side side, std::string_view what) {
  std::string detail{what};
  detail += ": ";
  detail += strerrordesc_np(number) != nullptr ? strerrordesc_np(number) : "unknown error";
  return Error{code_of_errno(number), side, std::move(detail)};
}

}  // namespace sluice
