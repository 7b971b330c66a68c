#include "proxy/filter/chain.h"

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/filter/fake_host.h"

using namespace sluice;
using namespace sluice::filter;

namespace {

// What a filter of the tests does, and the diary all of one chain write into.
struct Script {
  char name = '?';
  std::string* diary = nullptr;
  Verdict request = Verdict::kContinue;
  Verdict response = Verdict::kContinue;
  bool request_body = false;
  bool response_body = false;
  bool body_fails = false;
};

class ScriptedFilter : public Filter {
 public:
  explicit ScriptedFilter(const Script& script) : script_(script) { note('+'); }
  Verdict on_request(FilterHost& host, http::RequestHead&) override {
    note('>');
    if (script_.request == Verdict::kAnswered) host.answer(http::ResponseHead{}, "request");
    return script_.request;
  }
  Status on_request_body(Chain& bytes, bool last) override { return mark(bytes, last); }
  Verdict on_response(FilterHost& host, http::ResponseHead&) override {
    note('<');
    if (script_.response == Verdict::kAnswered) host.answer(http::ResponseHead{}, "response");
    return script_.response;
  }
  Status on_response_body(Chain& bytes, bool last) override { return mark(bytes, last); }
  bool changes_request_body() const override { return script_.request_body; }
  bool changes_response_body() const override { return script_.response_body; }

 private:
  void note(char what) { (*script_.diary += what) += script_.name; }
  Status mark(Chain& bytes, bool last) {
    if (script_.body_fails) return fail(ErrorCode::kUnsupported, Side::kUs, "scripted");
    bytes.append_copy(std::string{script_.name} + (last ? "." : ""));
    return {};
  }
  const Script& script_;
};

class ScriptedFactory : public FilterFactory {
 public:
  explicit ScriptedFactory(Script script) : script_(script) {}
  std::unique_ptr<Filter> make() const override {
    return std::make_unique<ScriptedFilter>(script_);
  }
  std::string_view name() const override { return "scripted"; }

 private:
  const Script script_;
};

struct Bench {
  std::string diary;
  Factories factories;
  FakeHost host;
  http::RequestHead request;
  http::ResponseHead response;

  void add(Script script) {
    script.name = static_cast<char>('a' + factories.size());
    script.diary = &diary;
    factories.push_back(std::make_shared<ScriptedFactory>(script));
  }
};

}  // namespace

TEST_CASE("chain: without filters nothing happens") {
  const Factories none;
  FilterChain chain{none};
  FakeHost host;
  http::RequestHead request;
  http::ResponseHead response;
  CHECK(chain.empty());
  CHECK(chain.on_request(host, request) == Verdict::kContinue);
  CHECK(chain.on_response(host, response) == Verdict::kContinue);
  CHECK_FALSE(chain.needs_memory());
  Chain bytes;
  bytes.append_copy("x");
  CHECK(chain.on_response_body(bytes, true));
  CHECK(bytes.to_string() == "x");
}

TEST_CASE("chain: requests pass in order, answers in reverse") {
  Bench bench;
  for (int i = 0; i < 3; ++i) bench.add({});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kContinue);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(bench.diary == "+a>a+b>b+c>c<c<b<a");
}

TEST_CASE("chain: an answer passes those before the one that gave it") {
  Bench bench;
  bench.add({});
  bench.add({.request = Verdict::kAnswered});
  bench.add({});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kAnswered);
  CHECK(bench.host.answers == 1);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(bench.diary == "+a>a+b>b<a");
}

TEST_CASE("chain: after a wait the request goes on behind the one that waited") {
  Bench bench;
  bench.add({.request = Verdict::kWait});
  bench.add({.request = Verdict::kWait});
  bench.add({});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kWait);
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kWait);
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kContinue);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(bench.diary == "+a>a+b>b+c>c<c<b<a");
}

TEST_CASE("chain: an answer given while a filter waits does not pass that filter") {
  Bench bench;
  bench.add({});
  bench.add({.request = Verdict::kWait});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kWait);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(bench.diary == "+a>a+b>b<a");
}

TEST_CASE("chain: an answer before any filter was asked passes none") {
  Bench bench;
  bench.add({});
  FilterChain chain{bench.factories};
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(bench.diary.empty());
}

TEST_CASE("chain: after a wait the answer goes on before the one that waited") {
  Bench bench;
  bench.add({});
  bench.add({.response = Verdict::kWait});
  bench.add({});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kContinue);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kWait);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(bench.diary == "+a>a+b>b+c>c<c<b<a");
}

TEST_CASE("chain: an answer that replaces another is changed by those before it only") {
  Bench bench;
  bench.add({.response_body = true});
  bench.add({.response = Verdict::kAnswered, .response_body = true});
  bench.add({.response_body = true});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kContinue);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kAnswered);
  CHECK(chain.on_response(bench.host, bench.host.answered_head) == Verdict::kContinue);
  CHECK(bench.diary == "+a>a+b>b+c>c<c<b<a");
  CHECK(chain.needs_memory());
  Chain bytes;
  CHECK(chain.on_response_body(bytes, true));
  CHECK(bytes.to_string() == "a.");
}

TEST_CASE("chain: bodies run through the filters that change them only") {
  Bench bench;
  bench.add({.request_body = true, .response_body = true});
  bench.add({});
  bench.add({.request_body = true, .response_body = true});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kContinue);
  CHECK(chain.changes_request_body());
  Chain bytes;
  bytes.append_copy("-");
  CHECK(chain.on_request_body(bytes, false));
  CHECK(bytes.to_string() == "-ac");
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  CHECK(chain.needs_memory());
  bytes.clear();
  CHECK(chain.on_response_body(bytes, false));  // nothing, and not the end
  CHECK(bytes.empty());
  CHECK(chain.on_response_body(bytes, true));
  CHECK(bytes.to_string() == "c.a.");
}

TEST_CASE("chain: a filter's error ends the walk") {
  Bench bench;
  bench.add({.request_body = true, .response_body = true});
  bench.add({.request_body = true, .response_body = true, .body_fails = true});
  FilterChain chain{bench.factories};
  CHECK(chain.on_request(bench.host, bench.request) == Verdict::kContinue);
  CHECK(chain.on_response(bench.host, bench.response) == Verdict::kContinue);
  Chain bytes;
  CHECK_FALSE(chain.on_response_body(bytes, true));
  CHECK(bytes.empty());
  CHECK_FALSE(chain.on_request_body(bytes, true));
}
