#include "proxy/base/result.h"

#include <cerrno>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("result: each error number has the meaning retries and answers rest on") {
  const std::pair<int, ErrorCode> table[] = {
      {ECONNREFUSED, ErrorCode::kRefused},
      {ENOENT, ErrorCode::kNotFound},
      {EAGAIN, ErrorCode::kWouldBlock},
      {ETIMEDOUT, ErrorCode::kTimeout},
      {ECONNRESET, ErrorCode::kReset},
      {ECONNABORTED, ErrorCode::kReset},
      {EPIPE, ErrorCode::kReset},
      {ENOSPC, ErrorCode::kNoSpace},
      {EDQUOT, ErrorCode::kNoSpace},
      {EMFILE, ErrorCode::kNoDescriptor},
      {ENFILE, ErrorCode::kNoDescriptor},
      {EHOSTUNREACH, ErrorCode::kUnreachable},
      {ENETUNREACH, ErrorCode::kUnreachable},
      {EACCES, ErrorCode::kUnreachable},
      {EIO, ErrorCode::kSystem},
      {123456, ErrorCode::kSystem},
  };
  for (const auto& [number, code] : table) {
    const Error error = error_from_errno(number, Side::kUpstream, "connect x");
    CHECK_MESSAGE(error.code == code, error.detail);
    CHECK(error.side == Side::kUpstream);
    CHECK(error.detail.starts_with("connect x: "));
  }
  CHECK(error_from_errno(ENOENT, Side::kUs, "open").detail == "open: No such file or directory");
}

TEST_CASE("result: every code and side has a name of its own") {
  std::set<std::string_view> names;
  const int last = static_cast<int>(ErrorCode::kSystem);
  for (int i = 0; i <= last; ++i) names.insert(name_of(static_cast<ErrorCode>(i)));
  CHECK(names.size() == static_cast<size_t>(last) + 1);
  CHECK_FALSE(names.contains("unknown"));
  CHECK(name_of(Side::kClient) == "client");
  CHECK(name_of(Side::kUpstream) == "upstream");
  CHECK(name_of(Side::kUs) == "sluice");
}

TEST_CASE("result: a failure keeps code, side and detail") {
  const Result<int> result = fail(ErrorCode::kTooLarge, Side::kClient, "target");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::kTooLarge);
  CHECK(result.error().side == Side::kClient);
  CHECK(result.error().detail == "target");
}
