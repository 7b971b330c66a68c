#include "proxy/exchange/retry.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::exchange;
using namespace std::chrono_literals;
using observe::RetryProof;

namespace {

constexpr Stage kStages[] = {Stage::kQueue, Stage::kHeld,      Stage::kConnect,
                             Stage::kSend,  Stage::kFirstByte, Stage::kBody};
constexpr RetryProof kProofs[] = {RetryProof::kNeverSent, RetryProof::kNotReceived,
                                  RetryProof::kAmbiguous};
constexpr ErrorCode kCodes[] = {ErrorCode::kClosed, ErrorCode::kReset, ErrorCode::kTimeout,
                                ErrorCode::kMalformed, ErrorCode::kTooLarge};
constexpr Side kSides[] = {Side::kClient, Side::kUpstream, Side::kUs};

// Every question there is, up to a few tries.
template <typename Told>
void ask_all(Told told) {
  for (const Stage stage : kStages) {
    for (const RetryProof proof : kProofs) {
      for (const ErrorCode code : kCodes) {
        for (const Side side : kSides) {
          for (uint32_t bits = 0; bits < 64; ++bits) {
            for (uint32_t tries = 1; tries <= 5; ++tries) {
              for (uint32_t free_tries = 0; free_tries < tries; ++free_tries) {
                for (uint32_t most = 1; most <= 3; ++most) {
                  told(RetryQuestion{stage, proof, code, side, (bits & 1) != 0, (bits & 2) != 0,
                                     (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0,
                                     (bits & 32) != 0, tries, free_tries, most});
                }
              }
            }
          }
        }
      }
    }
  }
}

RetryQuestion fresh(RetryProof proof) {
  RetryQuestion q;
  q.stage = Stage::kFirstByte;
  q.proof = proof;
  q.can_replay = true;
  return q;
}

RetryQuestion stale(RetryProof proof) {
  RetryQuestion q = fresh(proof);
  q.fresh = false;
  return q;
}

RetryQuestion repeatable(RetryQuestion q) {
  q.is_repeatable = true;
  return q;
}

RetryQuestion waiting(RetryQuestion q) {
  q.may_wait = true;
  return q;
}

http::RequestHead head(std::string_view method) {
  http::RequestHead made;
  made.method = method;
  return made;
}

}  // namespace

TEST_CASE("retry: what each failure allows, by its proof and the method") {
  const struct {
    RetryQuestion question;
    RetryVerdict verdict;
  } table[] = {
      {stale(RetryProof::kNeverSent), RetryVerdict::kAtOnce},
      {stale(RetryProof::kNotReceived), RetryVerdict::kAtOnce},
      {stale(RetryProof::kAmbiguous), RetryVerdict::kNo},
      {fresh(RetryProof::kNeverSent), RetryVerdict::kAfterPause},
      {waiting(fresh(RetryProof::kNeverSent)), RetryVerdict::kPatiently},
      {waiting(fresh(RetryProof::kNotReceived)), RetryVerdict::kAfterPause},
      {waiting(fresh(RetryProof::kAmbiguous)), RetryVerdict::kNo},
      {fresh(RetryProof::kNotReceived), RetryVerdict::kAfterPause},
      {fresh(RetryProof::kAmbiguous), RetryVerdict::kNo},
      {repeatable(stale(RetryProof::kNeverSent)), RetryVerdict::kAtOnce},
      {repeatable(stale(RetryProof::kNotReceived)), RetryVerdict::kAtOnce},
      {repeatable(stale(RetryProof::kAmbiguous)), RetryVerdict::kAtOnce},
      {repeatable(fresh(RetryProof::kNeverSent)), RetryVerdict::kAfterPause},
      {repeatable(fresh(RetryProof::kNotReceived)), RetryVerdict::kAfterPause},
      {repeatable(fresh(RetryProof::kAmbiguous)), RetryVerdict::kAfterPause},
  };
  for (const auto& row : table) {
    CAPTURE(static_cast<int>(row.question.proof));
    CAPTURE(row.question.fresh);
    CAPTURE(row.question.is_repeatable);
    CHECK(may_retry(row.question) == row.verdict);
  }
}

TEST_CASE("retry: what may have been carried out is not, unless it may be carried out twice") {
  uint64_t allowed = 0;
  ask_all([&allowed](const RetryQuestion& q) {
    const RetryVerdict verdict = may_retry(q);
    if (verdict == RetryVerdict::kNo) return;
    ++allowed;
    REQUIRE((q.proof != RetryProof::kAmbiguous || q.is_repeatable));
    REQUIRE((!q.is_late || q.is_repeatable));  // it is being worked on
  });
  CHECK(allowed > 0);
}

TEST_CASE("retry: never after an answer, without the body, or for what is not the upstream's") {
  ask_all([](const RetryQuestion& q) {
    if (may_retry(q) == RetryVerdict::kNo) return;
    REQUIRE_FALSE(q.has_answer);
    REQUIRE(q.can_replay);
    REQUIRE(q.side == Side::kUpstream);
    REQUIRE(q.code != ErrorCode::kMalformed);
    REQUIRE(q.code != ErrorCode::kTooLarge);
    REQUIRE((q.code != ErrorCode::kTimeout || q.is_late));
    REQUIRE((q.stage == Stage::kSend || q.stage == Stage::kFirstByte));
  });
}

TEST_CASE("retry: tries have an end, those that cost nothing, too") {
  ask_all([](const RetryQuestion& q) {
    const RetryVerdict verdict = may_retry(q);
    if (verdict == RetryVerdict::kAtOnce) {
      REQUIRE(q.free_tries < kMostFreeTries);
      REQUIRE_FALSE(q.fresh);
    }
    if (verdict == RetryVerdict::kPatiently) {
      REQUIRE(q.proof == RetryProof::kNeverSent);
      REQUIRE(q.may_wait);
    }
    if (verdict == RetryVerdict::kAfterPause) REQUIRE(q.tries - q.free_tries < q.most);
  });
  RetryQuestion only = stale(RetryProof::kNotReceived);
  only.most = 1;  // one attempt is one that reached somebody
  CHECK(may_retry(only) == RetryVerdict::kAtOnce);
  RetryQuestion hope = repeatable(stale(RetryProof::kAmbiguous));
  hope.most = 1;
  CHECK(may_retry(hope) == RetryVerdict::kNo);
  only.tries = 3;
  only.free_tries = 2;
  CHECK(may_retry(only) == RetryVerdict::kNo);
}

TEST_CASE("retry: what may be repeated is idempotent, or the route or the request says so") {
  config::RouteRetry route;
  for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}) {
    CHECK(is_repeatable(head(method), route));
  }
  for (const char* method : {"POST", "PATCH", "LOCK", "get"}) {
    CHECK_FALSE(is_repeatable(head(method), route));
  }
  route.methods = {"POST"};
  CHECK(is_repeatable(head("POST"), route));
  CHECK_FALSE(is_repeatable(head("PATCH"), route));
  http::RequestHead keyed = head("PATCH");
  keyed.headers.add("Idempotency-Key", "\"8e03978e\"");
  CHECK_FALSE(is_repeatable(keyed, route));
  route.idempotency_key = true;
  CHECK(is_repeatable(keyed, route));
  http::RequestHead empty = head("PATCH");
  empty.headers.add("Idempotency-Key", "");
  CHECK_FALSE(is_repeatable(empty, route));
}

TEST_CASE("retry: the pause doubles up to its limit, and lies anywhere within") {
  config::Retry limits;
  limits.backoff = 25ms;
  limits.max_backoff = 60ms;
  const auto most = [&limits](uint32_t number) {
    const Duration all[] = {25ms, 50ms, 60ms, 60ms};
    Duration seen{0};
    for (uint64_t i = 0; i < 1000; ++i) {
      const Duration pause = pause_before(number, limits, i * 0x9e3779b97f4a7c15);
      REQUIRE(pause >= Duration{0});
      REQUIRE(pause <= all[number - 1]);
      seen = std::max(seen, pause);
    }
    return seen > all[number - 1] * 9 / 10;
  };
  for (uint32_t number = 1; number <= 4; ++number) CHECK(most(number));
  CHECK(pause_before(1000000, limits, 1) <= 60ms);
  limits.backoff = 0ms;
  CHECK(pause_before(3, limits, 12345) == Duration{0});
}

TEST_CASE("retry: the log names each proof once") {
  RetryProofs proofs;
  CHECK(proofs.text().empty());
  proofs.add(RetryProof::kAmbiguous);
  proofs.add(RetryProof::kAmbiguous);
  CHECK(proofs.text() == "ambiguous");
  proofs.add(RetryProof::kNotReceived);
  CHECK(proofs.text() == "not_received,ambiguous");
  proofs.add(RetryProof::kNeverSent);
  CHECK(proofs.text() == "never_sent,not_received,ambiguous");
}
