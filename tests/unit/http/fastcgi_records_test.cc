#include "proxy/http/fastcgi_records.h"

#include <doctest/doctest.h>

#include "tests/unit/http/fastcgi_wire.h"

namespace sluice::http {
namespace {

using testing::fastcgi_end;
using testing::fastcgi_err;
using testing::fastcgi_out;
using testing::fastcgi_record;

struct Taken {
  std::string out;
  FastcgiAnswer answer;
};

// So many bytes at a time.
Taken take(std::string bytes, size_t step, size_t most_remarks = 100) {
  Taken taken;
  taken.answer.begin(most_remarks);
  for (size_t at = 0; at < bytes.size(); at += step) {
    const size_t size = std::min(step, bytes.size() - at);
    const size_t kept = taken.answer.take(bytes.data() + at, size);
    REQUIRE(kept <= size);
    taken.out += bytes.substr(at, kept);
  }
  return taken;
}

constexpr size_t kSteps[] = {1, 2, 7, 9, 1 << 20};

}  // namespace

TEST_CASE("fastcgi_records: STDOUT stays, however it comes") {
  const std::string bytes = fastcgi_out("Status: 200\r\n", 3) + fastcgi_err("oops\n") +
                            fastcgi_out("\r\nhello", 255) + fastcgi_err("") + fastcgi_out("") +
                            fastcgi_end();
  for (const size_t step : kSteps) {
    CAPTURE(step);
    Taken taken = take(bytes, step);
    CHECK(taken.out == "Status: 200\r\n\r\nhello");
    CHECK(taken.answer.is_over());
    CHECK_FALSE(taken.answer.is_strange());
    CHECK_FALSE(taken.answer.is_refusal());
    CHECK(taken.answer.take_remarks() == "oops\n");
    CHECK(taken.answer.take_remarks().empty());
  }
}

TEST_CASE("fastcgi_records: an answer may leave out the empty record, and have an exit status") {
  for (const size_t step : kSteps) {
    const Taken taken = take(fastcgi_out("a") + fastcgi_end(0, 255), step);
    CHECK(taken.out == "a");
    CHECK(taken.answer.is_over());
    CHECK_FALSE(taken.answer.is_strange());
  }
}

TEST_CASE("fastcgi_records: what is not of this request is ignored") {
  const std::string others[] = {
      fastcgi_record(6, "other", 0, 2), fastcgi_record(3, std::string(8, '\0'), 0, 2),
      fastcgi_record(99, "unknown", 5), fastcgi_record(10, "values", 0, 0),
      fastcgi_record(11, "\x63", 7, 0), fastcgi_record(6, "null", 0, 0),
  };
  for (const std::string& other : others) {
    for (const size_t step : kSteps) {
      CAPTURE(other);
      const Taken taken = take(fastcgi_out("a") + other + fastcgi_out("b") + fastcgi_end(), step);
      CHECK(taken.out == "ab");
      CHECK(taken.answer.is_over());
      // The connection goes on only where it was management, which may come unasked.
      CHECK(taken.answer.is_strange() == (other[3] != 0));
    }
  }
}

TEST_CASE("fastcgi_records: what comes behind the end never counts") {
  for (const std::string& more : {std::string("x"), fastcgi_out("poison"), fastcgi_end()}) {
    for (const size_t step : kSteps) {
      const Taken taken = take(fastcgi_out("a") + fastcgi_end() + more, step);
      CHECK(taken.out == "a");
      CHECK(taken.answer.is_over());
      CHECK(taken.answer.is_strange());
    }
  }
}

TEST_CASE("fastcgi_records: what is no record, or out of order") {
  const std::string cases[] = {
      "HTTP/1.1 200 OK\r\n\r\n", fastcgi_record(6, "a", 0, 1, 2),       fastcgi_record(3, "short"),
      fastcgi_record(3, ""),     fastcgi_out("") + fastcgi_out("more"), fastcgi_end(4),
      fastcgi_end(255),
  };
  for (const std::string& bytes : cases) {
    for (const size_t step : kSteps) {
      CAPTURE(bytes);
      const Taken taken = take(bytes, step);
      CHECK(taken.out.empty());
      REQUIRE(taken.answer.is_broken());
      CHECK_FALSE(taken.answer.is_over());
      CHECK_FALSE(taken.answer.is_refusal());
      CHECK(taken.answer.error().code == ErrorCode::kMalformed);
      CHECK(taken.answer.error().side == Side::kUpstream);
    }
  }
}

TEST_CASE("fastcgi_records: a refusal is one as long as nothing was answered") {
  const std::pair<int, ErrorCode> cases[] = {
      {1, ErrorCode::kUnsupported}, {2, ErrorCode::kOverloaded}, {3, ErrorCode::kUnsupported}};
  for (const auto& [status, code] : cases) {
    const Taken refused = take(fastcgi_err("why") + fastcgi_end(status), 3);
    REQUIRE(refused.answer.is_broken());
    CHECK(refused.answer.is_refusal());
    CHECK(refused.answer.error().code == code);
    const Taken late = take(fastcgi_out("a") + fastcgi_end(status), 3);
    REQUIRE(late.answer.is_broken());
    CHECK_FALSE(late.answer.is_refusal());
    CHECK(late.out == "a");
  }
}

TEST_CASE("fastcgi_records: of STDERR so much is kept as was asked for") {
  const std::string bytes = fastcgi_err("12345") + fastcgi_err("678") + fastcgi_end();
  CHECK(take(bytes, 1, 8).answer.take_remarks() == "12345678");
  CHECK(take(bytes, 1, 6).answer.take_remarks() == "123456... (2 bytes more)");
  CHECK(take(bytes, 1 << 20, 3).answer.take_remarks() == "123... (5 bytes more)");
  CHECK(take(bytes, 1, 0).answer.take_remarks().empty());
}

TEST_CASE("fastcgi_records: there is an end to what comes beside STDOUT") {
  const std::string mebibyte = [] {
    std::string records;
    while (records.size() < 1 << 20) records += fastcgi_err(std::string(65535, 'e'));
    return records;
  }();
  FastcgiAnswer answer;
  answer.begin(10);
  const auto say = [&answer](std::string bytes) { answer.take(bytes.data(), bytes.size()); };
  for (int i = 0; i < 15; ++i) say(mebibyte);
  CHECK_FALSE(answer.is_broken());
  say(fastcgi_out("a"));
  for (int i = 0; i < 14; ++i) say(mebibyte);
  CHECK_FALSE(answer.is_broken());
  for (int i = 0; i < 3; ++i) say(mebibyte);
  REQUIRE(answer.is_broken());
  CHECK(answer.error().code == ErrorCode::kTooLarge);
}

TEST_CASE("fastcgi_records: the head of a record") {
  const FastcgiHead head = fastcgi_head(FastcgiType::kStdin, 0xfedc);
  CHECK(std::string(head.data(), head.size()) ==
        std::string("\x01\x05\x00\x01\xfe\xdc\x00\x00", 8));
}

}  // namespace sluice::http
