// Filter: one plugin's part in one exchange: four hooks, three verdicts. A FilterFactory is made
// once per place in the configuration, is const and shared by all workers; it makes a Filter per
// exchange, which lives as long as the exchange and touches nothing outside it.
//
//   on_request        the head of the request, before it is routed on to its action
//   on_request_body   each piece of the request body; `last` with the final one
//   on_response       the final head of the answer
//   on_response_body  each piece of the answer's body; `last` with the final one
//
// Requests pass a chain in order, answers in reverse. Hooks run on the worker's thread and must not
// block.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "proxy/base/chain.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"

namespace sluice::filter {

enum class Verdict : uint8_t {
  kContinue,  // on to the next
  kWait,      // hold the exchange until FilterHost::resume(), or answer() later
  kAnswered,  // FilterHost::answer() was called: the request goes no further
};

// What a filter may ask of and tell the exchange. Outlives the filter.
class FilterHost {
 public:
  virtual void answer(http::ResponseHead&& head, std::string_view body) = 0;
  // From a later tick, after kWait.
  virtual void resume() = 0;
  // The client's address as trusted_proxies let it be believed ("203.0.113.7").
  virtual std::string_view client_address() const = 0;
  virtual const http::RequestHead& request() const = 0;

 protected:
  ~FilterHost() = default;
};

class Filter {
 public:
  virtual ~Filter() = default;
  virtual Verdict on_request(FilterHost&, http::RequestHead&) { return Verdict::kContinue; }
  // May change the bytes in place. Only called when changes_request_body().
  virtual Status on_request_body(Chain& bytes, bool last) {
    (void)bytes, (void)last;
    return {};
  }
  virtual Verdict on_response(FilterHost&, http::ResponseHead&) { return Verdict::kContinue; }
  // May change the bytes in place. Only called after on_response when changes_response_body().
  virtual Status on_response_body(Chain& bytes, bool last) {
    (void)bytes, (void)last;
    return {};
  }
  // Asked after on_request / on_response: whether the body hook is to be called. A filter that
  // changes the body sets head.body itself (usually BodySize::unknown()).
  virtual bool changes_request_body() const { return false; }
  virtual bool changes_response_body() const { return false; }
};

class FilterFactory {
 public:
  virtual ~FilterFactory() = default;
  virtual std::unique_ptr<Filter> make() const = 0;
  virtual std::string_view name() const = 0;
};

}  // namespace sluice::filter
