// Answers that sluice gives by itself: errors, redirects, fixed responses, health. Heads and short
// bodies only; files are route/static_files. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/chain.h"
#include "proxy/exchange/outcome.h"
#include "proxy/http/message.h"

namespace sluice::exchange {

struct Answer {
  http::ResponseHead head;
  Chain body;
};

// "503 Service Unavailable\n" as text/plain; Retry-After where the outcome asks for it. Says
// nothing about the inside: reasons are for the log.
Answer error_answer(const Outcome& outcome);
Answer text_answer(int status, std::string_view content_type, std::string_view body);
Answer redirect_answer(int status, std::string_view location);
// For answers without a body of their own from status 400 up.
void add_error_body(http::ResponseHead& head, Chain& body);

}  // namespace sluice::exchange
