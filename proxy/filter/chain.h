// FilterChain: the filters of one exchange at work. Owned by the exchange; made when its route is
// known. Without filters it allocates nothing and each call is a test of a pointer.
// (Not "Chain": that is a queue of bytes.)
//
//   request:   0 ─> 1 ─> 2 ─> action        each filter is made when the request reaches it
//   answer:    0 <─ 1 <─ 2 <─ answer        only those that let the request pass
//
// * An answer passes, in reverse, the filters whose on_request said kContinue. When filter k
//   answers, these are 0..k-1: k and what lies behind it do not see the answer. The same holds for
//   an answer the exchange makes itself (an error, a timeout) while a filter waits.
// * After kWait, on resume(), the same call is made again and goes on with the next filter.
// * When on_response of filter k says kAnswered, the answer it gave replaces the one on its way:
//   call on_response again with the new head; it goes on with k-1, and body hooks run only there.
// * Body hooks run only on filters that change bodies; request bodies in order, answers in reverse.
// * Interim answers (1xx) pass unseen.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "proxy/filter/filter.h"

namespace sluice::filter {

// What a route keeps; const and shared by all workers.
using Factories = std::vector<std::shared_ptr<const FilterFactory>>;

class FilterChain {
 public:
  FilterChain() = default;
  // Requires: `factories` outlive the chain (the exchange holds the snapshot they are part of).
  explicit FilterChain(const Factories& factories)
      : factories_(factories.empty() ? nullptr : &factories) {}

  bool empty() const { return factories_ == nullptr; }

  Verdict on_request(FilterHost& host, http::RequestHead& head) {
    return empty() ? Verdict::kContinue : run_request(host, head);
  }
  Verdict on_response(FilterHost& host, http::ResponseHead& head) {
    return empty() ? Verdict::kContinue : run_response(host, head);
  }

  // Valid after on_request said kContinue: whether on_request_body() must be called with all of the
  // body; the last call has `last` set and may have no bytes.
  bool changes_request_body() const { return changes_request_body_; }
  // The same after on_response. The exchange then reads file pieces into memory in bounded steps:
  // filters work on memory only, and answers with files would be refused.
  bool changes_response_body() const { return changes_response_body_; }
  bool needs_memory() const { return changes_response_body_; }

  // May change the bytes in place. An error ends the exchange.
  Status on_request_body(sluice::Chain& bytes, bool last);
  Status on_response_body(sluice::Chain& bytes, bool last);

 private:
  Verdict run_request(FilterHost& host, http::RequestHead& head);
  Verdict run_response(FilterHost& host, http::ResponseHead& head);

  const Factories* factories_ = nullptr;
  std::vector<std::unique_ptr<Filter>> filters_;  // made so far; bounded by factories_
  // filters_[0 .. passed_) let the request pass.
  size_t passed_ = 0;
  // The answer has still to pass filters_[0 .. ahead_); the body runs through filters_[.. inner_).
  size_t ahead_ = 0;
  size_t inner_ = 0;
  bool answering_ = false;
  bool changes_request_body_ = false;
  bool changes_response_body_ = false;
};

}  // namespace sluice::filter
