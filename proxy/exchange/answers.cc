#include "proxy/exchange/answers.h"

namespace sluice::exchange {
namespace {

constexpr std::string_view kPlain = "text/plain; charset=utf-8";

void set_body(Answer& answer, std::string_view body) {
  answer.body.append_copy(body);
  answer.head.body = http::BodySize::exactly(body.size());
}

}  // namespace

void add_error_body(http::ResponseHead& head, Chain& body) {
  std::string text = std::to_string(head.status);
  text += ' ';
  text += http::reason_of(head.status);
  text += '\n';
  head.headers.set(http::HeaderId::kContentType, kPlain);
  body.append_copy(text);
  head.body = http::BodySize::exactly(text.size());
}

Answer error_answer(const Outcome& outcome) {
  Answer answer;
  answer.head.status = outcome.status;
  if (outcome.retry_after > 0) {
    answer.head.headers.add(http::HeaderId::kRetryAfter, std::to_string(outcome.retry_after));
  }
  add_error_body(answer.head, answer.body);
  return answer;
}

Answer text_answer(int status, std::string_view content_type, std::string_view body) {
  Answer answer;
  answer.head.status = status;
  if (status == 204 || status == 304) return answer;
  answer.head.headers.add(http::HeaderId::kContentType, content_type);
  set_body(answer, body);
  return answer;
}

Answer redirect_answer(int status, std::string_view location) {
  Answer answer;
  answer.head.status = status;
  answer.head.headers.add(http::HeaderId::kLocation, location);
  set_body(answer, "");
  return answer;
}

}  // namespace sluice::exchange
