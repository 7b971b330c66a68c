// Retry: whether a try that failed may be followed by another, and after what pause (DESIGN, law 5:
// proof, not hope). Pure functions; the exchange asks, and keeps the count.
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/route.h"
#include "proxy/config/upstream.h"
#include "proxy/exchange/outcome.h"
#include "proxy/http/message.h"
#include "proxy/observe/metric_ids.h"

namespace sluice::exchange {

struct RetryQuestion {
  // Of the failure.
  Stage stage = Stage::kConnect;
  observe::RetryProof proof = observe::RetryProof::kAmbiguous;
  ErrorCode code = ErrorCode::kClosed;
  Side side = Side::kUpstream;
  bool is_late = false;  // retry.per_try has passed; the try itself could go on
  bool fresh = true;     // the connection had carried no request before
  // Of the request.
  bool is_repeatable = false;  // see is_repeatable()
  bool can_replay = false;     // its body is still there
  bool has_answer = false;     // the head of an answer came
  bool may_wait = false;       // it has not been tried for longer than it might be held
  // So far.
  uint32_t tries = 1;       // this one included, but none that followed kPatiently
  uint32_t free_tries = 0;  // of them those that followed kAtOnce
  uint32_t most = 2;        // retry.attempts
};

enum class RetryVerdict : uint8_t {
  kAtOnce,      // an idle connection that was closed: no fault of anybody, and free
  kPatiently,   // after a pause, and free: nothing was sent, as with a dial that is refused
  kAfterPause,  // if the budget has a token
  kNo,
};

// A connection that is reused can be found closed again; then it is no race that was lost.
constexpr uint32_t kMostFreeTries = 2;

RetryVerdict may_retry(const RetryQuestion& question);

// What may be carried out twice: idempotent methods, what the route says, and requests that bring
// an Idempotency-Key where the route honours it.
bool is_repeatable(const http::RequestHead& request, const config::RouteRetry& route);

// Before the retry of that number (from 1): doubling, with full jitter, so that what failed
// together does not come back together.
Duration pause_before(uint32_t number, const config::Retry& limits, uint64_t random);

// Which proofs retries went by, for the log: "not_received,ambiguous".
class RetryProofs {
 public:
  void add(observe::RetryProof proof) { seen_ |= 1U << static_cast<unsigned>(proof); }
  std::string_view text() const;

 private:
  unsigned seen_ = 0;
};

}  // namespace sluice::exchange
