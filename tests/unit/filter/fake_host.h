// FakeHost: stands in for the exchange in tests of the chain and of plugins. Remembers what was
// answered.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "proxy/filter/filter.h"

namespace sluice::filter {

class FakeHost final : public FilterHost {
 public:
  void answer(http::ResponseHead&& given, std::string_view body) override {
    answered_head = std::move(given);
    answered_body = body;
    ++answers;
  }
  void resume() override { ++resumes; }
  std::string_view client_address() const override { return client; }
  const http::RequestHead& request() const override { return head; }

  http::RequestHead head;
  std::string client = "203.0.113.7";
  http::ResponseHead answered_head;
  std::string answered_body;
  int answers = 0;
  int resumes = 0;
};

}  // namespace sluice::filter
