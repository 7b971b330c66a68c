#include "proxy/exchange/answers.h"

#include <set>
#include <string>

#include <doctest/doctest.h>

#include "proxy/exchange/outcome.h"

using namespace sluice;
using namespace sluice::exchange;
using http::HeaderId;

namespace {

Outcome of(Stage stage, ErrorCode code, Side side = Side::kUpstream) {
  return outcome_of_upstream(stage, {code, side, "detail"});
}

}  // namespace

TEST_CASE("outcome: each failure towards an upstream has one meaning") {
  const struct {
    Stage stage;
    ErrorCode code;
    int status;
    std::string_view reason;
    bool retry_after;
  } table[] = {
      {Stage::kQueue, ErrorCode::kOverloaded, 503, "queue_full", true},
      {Stage::kQueue, ErrorCode::kUnreachable, 503, "no_endpoint", true},
      {Stage::kHeld, ErrorCode::kOverloaded, 503, "hold_overflow", true},
      {Stage::kHeld, ErrorCode::kUnreachable, 503, "hold_timeout", true},
      {Stage::kQueue, ErrorCode::kTimeout, 503, "queue_timeout", true},
      {Stage::kConnect, ErrorCode::kTimeout, 504, "connect_timeout", false},
      {Stage::kConnect, ErrorCode::kRefused, 502, "connect_refused", false},
      {Stage::kConnect, ErrorCode::kNotFound, 502, "connect_no_socket", false},
      {Stage::kConnect, ErrorCode::kWouldBlock, 503, "connect_backlog_full", true},
      {Stage::kConnect, ErrorCode::kNoDescriptor, 503, "no_descriptor", true},
      {Stage::kConnect, ErrorCode::kUnreachable, 502, "connect_failed", false},
      {Stage::kSend, ErrorCode::kTimeout, 504, "send_timeout", false},
      {Stage::kSend, ErrorCode::kReset, 502, "upstream_reset", false},
      {Stage::kFirstByte, ErrorCode::kTimeout, 504, "first_byte_timeout", false},
      {Stage::kFirstByte, ErrorCode::kClosed, 502, "upstream_closed", false},
      {Stage::kFirstByte, ErrorCode::kMalformed, 502, "upstream_malformed", false},
      {Stage::kFirstByte, ErrorCode::kTooLarge, 502, "upstream_head_too_large", false},
      {Stage::kFirstByte, ErrorCode::kOverloaded, 503, "upstream_overloaded", true},
      {Stage::kFirstByte, ErrorCode::kUnsupported, 502, "upstream_unsupported", false},
      {Stage::kBody, ErrorCode::kTimeout, 504, "between_bytes_timeout", false},
      {Stage::kBody, ErrorCode::kClosed, 502, "upstream_closed", false},
  };
  for (const auto& row : table) {
    const Outcome outcome = of(row.stage, row.code);
    CAPTURE(row.reason);
    CHECK(outcome.status == row.status);
    CHECK(outcome.reason == row.reason);
    CHECK((outcome.retry_after > 0) == row.retry_after);
  }
  // The client's head does not fit the variables of CGI: its fault, not the application's.
  CHECK(of(Stage::kSend, ErrorCode::kTooLarge, Side::kClient).status == 431);
  CHECK(of(Stage::kSend, ErrorCode::kMalformed, Side::kClient).status == 400);
}

TEST_CASE("outcome: whatever fails, it is a status of an error and has a reason") {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kSystem); ++code) {
    const Error error{static_cast<ErrorCode>(code), Side::kUpstream, ""};
    for (const Stage stage : {Stage::kQueue, Stage::kHeld, Stage::kConnect, Stage::kSend,
                              Stage::kFirstByte, Stage::kBody}) {
      const Outcome outcome = outcome_of_upstream(stage, error);
      CHECK(outcome.status >= 500);
      CHECK_FALSE(outcome.reason.empty());
    }
    for (const Outcome& outcome : {outcome_of_client(error), outcome_of_store(error)}) {
      CHECK(outcome.status >= 400);
      CHECK_FALSE(outcome.reason.empty());
    }
  }
}

TEST_CASE("outcome: the client's side and our own") {
  const auto client = [](ErrorCode code) {
    return outcome_of_client({code, Side::kClient, ""}).status;
  };
  CHECK(client(ErrorCode::kTimeout) == 408);
  CHECK(client(ErrorCode::kMalformed) == 400);
  CHECK(client(ErrorCode::kTooLarge) == 413);
  CHECK(client(ErrorCode::kReset) == 499);
  CHECK(client(ErrorCode::kClosed) == 499);
  CHECK(outcome_of_store({ErrorCode::kNoSpace, Side::kUs, ""}).status == 507);
  CHECK(outcome_of_store({ErrorCode::kTooLarge, Side::kUs, ""}).status == 413);
  CHECK(outcome_of_store({ErrorCode::kOverloaded, Side::kUs, ""}).status == 503);
}

TEST_CASE("answers: an error says its status and nothing about the inside") {
  const Answer answer = error_answer({503, "queue_full", 2});
  CHECK(answer.head.status == 503);
  CHECK(answer.head.headers.get(HeaderId::kRetryAfter) == "2");
  CHECK(answer.head.headers.get(HeaderId::kContentType) == "text/plain; charset=utf-8");
  CHECK(answer.body.to_string() == "503 Service Unavailable\n");
  CHECK(answer.head.body.length == answer.body.size());
  CHECK_FALSE(error_answer({502, "upstream_closed"}).head.headers.has(HeaderId::kRetryAfter));
}

TEST_CASE("answers: an error's body takes the place of the type that was there") {
  http::ResponseHead head;
  head.status = 404;
  head.headers.add("content-type", "image/png");
  Chain body;
  add_error_body(head, body);
  CHECK(head.headers.count(HeaderId::kContentType) == 1);
  CHECK(body.to_string() == "404 Not Found\n");
}

TEST_CASE("answers: a text with its type; none where there can be no body") {
  const Answer text = text_answer(200, "text/html", "<p>");
  CHECK(text.head.headers.get(HeaderId::kContentType) == "text/html");
  CHECK(text.head.body.length == 3);
  CHECK(text.body.to_string() == "<p>");
  for (const int status : {204, 304}) {
    const Answer bare = text_answer(status, "text/html", "<p>");
    CHECK(bare.body.empty());
    CHECK(bare.head.body.is_none());
    CHECK(bare.head.headers.empty());
  }
}

TEST_CASE("answers: a redirect says where to, with an empty body") {
  const Answer answer = redirect_answer(308, "https://example.com/a?b");
  CHECK(answer.head.status == 308);
  CHECK(answer.head.headers.get(HeaderId::kLocation) == "https://example.com/a?b");
  CHECK(answer.head.body.kind == http::BodySize::Kind::kExact);
  CHECK(answer.head.body.length == 0);
}
