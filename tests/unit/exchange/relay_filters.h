// Filters for the relay's tests: one that marks what passes, one that fails.
#pragma once

#include <memory>
#include <string>

#include "proxy/filter/chain.h"
#include "tests/unit/filter/fake_host.h"

namespace sluice::testing {

class MarkingFilter final : public filter::Filter {
 public:
  explicit MarkingFilter(bool fails) : fails_(fails) {}
  bool changes_request_body() const override { return true; }
  bool changes_response_body() const override { return true; }
  Status on_request_body(Chain& bytes, bool last) override { return mark(bytes, last); }
  Status on_response_body(Chain& bytes, bool last) override { return mark(bytes, last); }

 private:
  // Upper case; a dot at the end.
  Status mark(Chain& bytes, bool last) {
    if (fails_) return fail(ErrorCode::kUnsupported, Side::kUs, "as told");
    std::string text = bytes.to_string();
    for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    if (last) text += '.';
    bytes.clear();
    bytes.append_copy(text);
    return {};
  }
  const bool fails_;
};

class MarkingFactory final : public filter::FilterFactory {
 public:
  explicit MarkingFactory(bool fails) : fails_(fails) {}
  std::unique_ptr<filter::Filter> make() const override {
    return std::make_unique<MarkingFilter>(fails_);
  }
  std::string_view name() const override { return "marking"; }

 private:
  const bool fails_;
};

// A chain at work, both heads passed.
struct Marked {
  explicit Marked(bool fails = false) {
    factories.push_back(std::make_shared<MarkingFactory>(fails));
    chain = filter::FilterChain(factories);
    http::RequestHead request;
    http::ResponseHead response;
    (void)chain.on_request(host, request);
    (void)chain.on_response(host, response);
  }
  filter::FakeHost host;
  filter::Factories factories;
  filter::FilterChain chain;
};

}  // namespace sluice::testing
