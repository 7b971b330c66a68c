#include "proxy/exchange/outcome.h"

namespace sluice::exchange {
namespace {

Outcome outcome_of_connect(const Error& error) {
  switch (error.code) {
    case ErrorCode::kTimeout: return {504, "connect_timeout"};
    case ErrorCode::kRefused: return {502, "connect_refused"};
    case ErrorCode::kNotFound: return {502, "connect_no_socket"};
    case ErrorCode::kWouldBlock: return {503, "connect_backlog_full", 1};
    case ErrorCode::kNoDescriptor: return {503, "no_descriptor", 1};
    default: return {502, "connect_failed"};
  }
}

// Nobody was asked yet: the client may come again.
Outcome outcome_of_waiting(Stage stage, const Error& error) {
  const bool full = error.code == ErrorCode::kOverloaded;
  if (stage == Stage::kHeld) return {503, full ? "hold_overflow" : "hold_timeout", 1};
  if (error.code == ErrorCode::kUnreachable) return {503, "no_endpoint", 1};
  return {503, full ? "queue_full" : "queue_timeout", 1};
}

}  // namespace

Outcome outcome_of_upstream(Stage stage, const Error& error) {
  if (error.code == ErrorCode::kTooLarge && error.side == Side::kClient) {
    return {431, "cgi_variables_too_large"};
  }
  if (error.code == ErrorCode::kMalformed && error.side == Side::kClient) {
    return {400, "malformed_path"};
  }
  switch (stage) {
    case Stage::kQueue:
    case Stage::kHeld: return outcome_of_waiting(stage, error);
    case Stage::kConnect: return outcome_of_connect(error);
    case Stage::kSend:
    case Stage::kFirstByte:
    case Stage::kBody: break;
  }
  switch (error.code) {
    case ErrorCode::kTimeout:
      if (stage == Stage::kSend) return {504, "send_timeout"};
      return stage == Stage::kBody ? Outcome{504, "between_bytes_timeout"}
                                   : Outcome{504, "first_byte_timeout"};
    case ErrorCode::kMalformed: return {502, "upstream_malformed"};
    case ErrorCode::kTooLarge: return {502, "upstream_head_too_large"};
    case ErrorCode::kReset: return {502, "upstream_reset"};
    case ErrorCode::kOverloaded: return {503, "upstream_overloaded", 1};
    case ErrorCode::kUnsupported: return {502, "upstream_unsupported"};
    default: return {502, "upstream_closed"};
  }
}

Outcome outcome_of_client(const Error& error) {
  switch (error.code) {
    case ErrorCode::kTimeout: return {408, "client_timeout"};
    case ErrorCode::kMalformed: return {400, "malformed_body"};
    case ErrorCode::kTooLarge: return {413, "body_too_large"};
    case ErrorCode::kReset: return {499, "client_reset"};
    default: return {499, "client_closed"};
  }
}

Outcome outcome_of_store(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNoSpace: return {507, "spill_no_space"};
    case ErrorCode::kTooLarge: return {413, "body_over_buffering_disk"};
    case ErrorCode::kOverloaded: return {503, "spill_ceiling", 1};
    default: return {507, "spill_failed"};  // the folder is missing or cannot be written
  }
}

}  // namespace sluice::exchange
