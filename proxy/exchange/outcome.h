// Outcome: what a failure means for the client: the status it gets and the reason that log and
// metrics (dropped_total{reason}) name. One place, so that each failure has one meaning. Pure
// functions.
#pragma once

#include <string_view>

#include "proxy/base/result.h"

namespace sluice::exchange {

struct Outcome {
  int status = 500;
  std::string_view reason;  // static text
  int retry_after = 0;      // seconds; 0: say nothing
};

// Where an exchange stood when it failed.
enum class Stage : uint8_t {
  kQueue,      // waiting for a place at an endpoint
  kHeld,       // waiting for an endpoint: all are away
  kConnect,    // dialling
  kSend,       // the request is on its way
  kFirstByte,  // waiting for the head of the answer
  kBody,       // within the answer's body
};

Outcome outcome_of_upstream(Stage stage, const Error& error);
// The client's side: a body that is malformed, late or cut; a client that left (499: only logged).
Outcome outcome_of_client(const Error& error);
// Our own: the store could not take a body.
Outcome outcome_of_store(const Error& error);

}  // namespace sluice::exchange
