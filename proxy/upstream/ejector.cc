#include "proxy/upstream/ejector.h"

#include <algorithm>
#include <utility>

namespace sluice::upstream {
namespace {

bool is_failure(int status) {
  return status == 0 || status == 502 || status == 503 || status == 504;
}

bool is_usable(const Endpoint& endpoint) {
  const EndpointState state = endpoint.state();
  const bool there = state == EndpointState::kStarting || state == EndpointState::kReady ||
                     state == EndpointState::kSuspect;
  return there && !endpoint.is_ejected();
}

}  // namespace

void Ejector::reconfigure(const config::Ejection& config,
                          std::span<const std::shared_ptr<Endpoint>> endpoints) {
  const std::lock_guard lock(mutex_);
  config_ = config;
  errors_ = config.errors;
  counts_all_ = config.rate > 0 || config.latency > Duration{0};
  std::vector<Case> kept;
  for (const auto& endpoint : endpoints) {
    const auto known = std::find_if(cases_.begin(), cases_.end(), [&endpoint](const Case& one) {
      return one.endpoint == endpoint;
    });
    kept.push_back(known != cases_.end() ? std::move(*known) : Case{endpoint, 0, {}});
  }
  cases_ = std::move(kept);
}

void Ejector::on_result(Endpoint& endpoint, int status, Duration first_byte) {
  EndpointTally& tally = endpoint.tally();
  const bool failed = is_failure(status);
  if (counts_all_.load(std::memory_order_relaxed)) {
    tally.requests.fetch_add(1, std::memory_order_relaxed);
    if (failed) tally.failures.fetch_add(1, std::memory_order_relaxed);
    tally.waited.fetch_add(std::max<Duration>(first_byte, Duration{0}).count(),
                           std::memory_order_relaxed);
  }
  if (!failed) {
    if (tally.errors_in_row.load(std::memory_order_relaxed) != 0) {
      tally.errors_in_row.store(0, std::memory_order_relaxed);
    }
    return;
  }
  const uint32_t most = errors_.load(std::memory_order_relaxed);
  const uint32_t row = tally.errors_in_row.fetch_add(1, std::memory_order_relaxed) + 1;
  if (most == 0 || row < most || endpoint.is_ejected()) return;
  const std::lock_guard lock(mutex_);
  eject(endpoint, steady_now());
}

// Requires: mutex_.
bool Ejector::may_eject(const Endpoint& endpoint) const {
  size_t usable = 0;
  size_t out = 0;
  for (const Case& one : cases_) {
    if (one.endpoint->is_ejected()) ++out;
    if (one.endpoint.get() != &endpoint && is_usable(*one.endpoint)) ++usable;
  }
  if (usable == 0) return false;
  return out == 0 || (out + 1) * 100 <= cases_.size() * config_.most;
}

// Requires: mutex_.
void Ejector::eject(Endpoint& endpoint, TimePoint now) {
  const auto its = std::find_if(cases_.begin(), cases_.end(), [&endpoint](const Case& one) {
    return one.endpoint.get() == &endpoint;
  });
  if (its == cases_.end() || endpoint.is_ejected() || !may_eject(endpoint)) return;
  its->in_a_row = now - its->out_until > config_.interval ? 1 : its->in_a_row + 1;
  its->out_until = now + std::min<Duration>(config_.time * its->in_a_row, config_.max_time);
  endpoint.tally().ejections.fetch_add(1, std::memory_order_relaxed);
  endpoint.set_ejected(true);
  endpoint.note(EndpointNews::kEjected);
}

// Requires: mutex_. Of one interval.
void Ejector::judge(Case& one, TimePoint now) {
  EndpointTally& tally = one.endpoint->tally();
  const uint64_t requests = tally.requests.exchange(0, std::memory_order_relaxed);
  const uint64_t failures = tally.failures.exchange(0, std::memory_order_relaxed);
  const Duration waited{tally.waited.exchange(0, std::memory_order_relaxed)};
  if (requests < std::max<uint64_t>(config_.requests, 1)) return;
  const bool fails = config_.rate > 0 && failures * 100 >= requests * config_.rate;
  const bool is_slow =
      config_.latency > Duration{0} && waited / static_cast<int64_t>(requests) > config_.latency;
  if (fails || is_slow) eject(*one.endpoint, now);
}

void Ejector::sweep(TimePoint now) {
  const std::lock_guard lock(mutex_);
  for (Case& one : cases_) {
    if (!one.endpoint->is_ejected() || now < one.out_until) continue;
    one.endpoint->tally().errors_in_row.store(0, std::memory_order_relaxed);
    one.endpoint->set_ejected(false);
    one.endpoint->note(EndpointNews::kReadmitted);
  }
  if (!counts_all_.load(std::memory_order_relaxed) || now - judged_ < config_.interval) return;
  judged_ = now;
  for (Case& one : cases_) judge(one, now);
}

}  // namespace sluice::upstream
