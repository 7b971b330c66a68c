#include "proxy/filter/chain.h"

namespace sluice::filter {

Verdict FilterChain::run_request(FilterHost& host, http::RequestHead& head) {
  // The one that waited (if any) is the last made; it has had its say and been resumed.
  passed_ = filters_.size();
  filters_.reserve(factories_->size());
  while (passed_ < factories_->size()) {
    filters_.push_back((*factories_)[passed_]->make());
    const Verdict verdict = filters_.back()->on_request(host, head);
    if (verdict != Verdict::kContinue) return verdict;
    ++passed_;
  }
  for (const auto& filter : filters_) changes_request_body_ |= filter->changes_request_body();
  return Verdict::kContinue;
}

Verdict FilterChain::run_response(FilterHost& host, http::ResponseHead& head) {
  if (!answering_) {
    answering_ = true;
    ahead_ = inner_ = passed_;
  }
  while (ahead_ > 0) {
    const Verdict verdict = filters_[--ahead_]->on_response(host, head);
    // The body of the new answer is none of this filter's, nor of those behind it.
    if (verdict == Verdict::kAnswered) inner_ = ahead_;
    if (verdict != Verdict::kContinue) return verdict;
  }
  for (size_t i = 0; i < inner_; ++i) {
    changes_response_body_ |= filters_[i]->changes_response_body();
  }
  return Verdict::kContinue;
}

namespace {

// A filter that was given nothing, and not the end, need not be asked.
Status pass(Status (Filter::*hook)(sluice::Chain&, bool), Filter& filter, sluice::Chain& bytes,
            bool last) {
  if (bytes.empty() && !last) return {};
  return (filter.*hook)(bytes, last);
}

}  // namespace

Status FilterChain::on_request_body(sluice::Chain& bytes, bool last) {
  for (const auto& filter : filters_) {
    if (!filter->changes_request_body()) continue;
    if (auto status = pass(&Filter::on_request_body, *filter, bytes, last); !status) return status;
  }
  return {};
}

Status FilterChain::on_response_body(sluice::Chain& bytes, bool last) {
  for (size_t i = inner_; i-- > 0;) {
    if (!filters_[i]->changes_response_body()) continue;
    auto status = pass(&Filter::on_response_body, *filters_[i], bytes, last);
    if (!status) return status;
  }
  return {};
}

}  // namespace sluice::filter
