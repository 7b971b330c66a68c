#include "proxy/exchange/retry.h"

#include <algorithm>

namespace sluice::exchange {

using observe::RetryProof;

namespace {

// The other side has spoken, or it was not its fault: another try would hear the same.
bool is_final(const RetryQuestion& q) {
  if (q.has_answer || q.side != Side::kUpstream) return true;
  if (q.code == ErrorCode::kMalformed || q.code == ErrorCode::kTooLarge) return true;
  // Waiting for an endpoint, and going from one to the next, is the cluster's: it has given up.
  if (q.stage != Stage::kSend && q.stage != Stage::kFirstByte) return true;
  // Who has waited all of timeouts.first_byte or send is not made to wait as long again.
  return q.code == ErrorCode::kTimeout && !q.is_late;
}

}  // namespace

RetryVerdict may_retry(const RetryQuestion& q) {
  if (is_final(q) || !q.can_replay) return RetryVerdict::kNo;
  const bool proven = q.proof != RetryProof::kAmbiguous && !q.is_late;
  if (!q.fresh && !q.is_late && q.free_tries < kMostFreeTries &&
      (proven || (q.is_repeatable && q.most > 1))) {
    return RetryVerdict::kAtOnce;
  }
  if (q.proof == RetryProof::kNeverSent && !q.is_late && q.may_wait) {
    return RetryVerdict::kPatiently;
  }
  if (q.tries - q.free_tries >= q.most) return RetryVerdict::kNo;
  return proven || q.is_repeatable ? RetryVerdict::kAfterPause : RetryVerdict::kNo;
}

bool is_repeatable(const http::RequestHead& request, const config::RouteRetry& route) {
  if (http::is_idempotent(request.method)) return true;
  if (route.idempotency_key && !request.headers.get("Idempotency-Key").empty()) return true;
  return std::find(route.methods.begin(), route.methods.end(), request.method) !=
         route.methods.end();
}

Duration pause_before(uint32_t number, const config::Retry& limits, uint64_t random) {
  Duration most = limits.backoff;
  for (uint32_t i = 1; i < number && most < limits.max_backoff; ++i) most *= 2;
  most = std::min(most, limits.max_backoff);
  if (most <= Duration{0}) return Duration{0};
  return Duration{static_cast<Duration::rep>(random % static_cast<uint64_t>(most.count() + 1))};
}

std::string_view RetryProofs::text() const {
  static constexpr std::string_view kTexts[] = {
      "",
      "never_sent",
      "not_received",
      "never_sent,not_received",
      "ambiguous",
      "never_sent,ambiguous",
      "not_received,ambiguous",
      "never_sent,not_received,ambiguous",
  };
  static_assert(std::size(kTexts) == 1U << observe::kRetryProofs);
  return kTexts[seen_];
}

}  // namespace sluice::exchange
