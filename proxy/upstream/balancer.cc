#include "proxy/upstream/balancer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "proxy/base/assert.h"
#include "proxy/base/hash.h"
#include "proxy/upstream/ticket.h"

namespace sluice::upstream {
namespace {

constexpr double kMemory = 10.0;     // seconds until a latency counts for a third
constexpr double kFirstShare = 0.1;  // of the full one, at the beginning of a slow start
constexpr size_t kPointsPerWeight = 160;
constexpr size_t kMostPoints = 100'000;

double faded(double value, Duration age) {
  return value * std::exp(-seconds(age) / kMemory);
}

}  // namespace

void Track::on_answer(Duration took, TimePoint now) {
  const double sample = std::max(seconds(took), 1e-6);
  const double before = latency(now);
  // A peak counts at once; what is better has to prove itself.
  const double weight = std::exp(-seconds(now - since_) / kMemory);
  latency_ = sample > before ? sample : before + sample * (1 - weight);
  since_ = now;
}

double Track::latency(TimePoint now) const {
  return latency_ == 0 ? 0 : faded(latency_, now - since_);
}

void Balancer::reconfigure(const config::Upstream& config,
                           std::span<const std::shared_ptr<Endpoint>> endpoints) {
  kind_ = config.balance;
  slow_start_ = config.slow_start;
  ring_.clear();
  if (kind_ == config::Balance::kRingHash) build_ring(endpoints);
}

// Points depend on the endpoint's name alone, so that others keep theirs when it comes or goes.
void Balancer::build_ring(std::span<const std::shared_ptr<Endpoint>> endpoints) {
  uint64_t weights = 0;
  for (const auto& endpoint : endpoints) weights += endpoint->weight();
  const size_t each =
      std::clamp<size_t>(kMostPoints / std::max<uint64_t>(weights, 1), 1, kPointsPerWeight);
  for (const auto& endpoint : endpoints) {
    const size_t points = std::min(each * endpoint->weight(), kMostPoints / endpoints.size());
    for (size_t i = 0; i < points; ++i) {
      ring_.emplace_back(stable_hash(endpoint->name(), i + 1), endpoint.get());
    }
  }
  std::sort(ring_.begin(), ring_.end());
}

// xorshift64*: cheap, and good enough for a draw.
uint64_t Balancer::draw() {
  dice_ ^= dice_ >> 12;
  dice_ ^= dice_ << 25;
  dice_ ^= dice_ >> 27;
  return (dice_ * 0x2545f4914f6cdd1dULL) >> 11;
}

// The weight, less while an endpoint that is back warms up.
double Balancer::share(const Endpoint& endpoint, TimePoint now) const {
  const auto weight = static_cast<double>(endpoint.weight());
  if (slow_start_ == Duration{0}) return weight;
  const double age = seconds(now - endpoint.changed_at()) / seconds(slow_start_);
  return weight * std::clamp(age, kFirstShare, 1.0);
}

double Balancer::load(const Candidate& candidate, TimePoint now) const {
  return (candidate.in_flight + 1) / std::max(share(*candidate.endpoint, now), 1e-3);
}

size_t Balancer::choose(std::span<const Candidate> candidates, const Wish& wish, TimePoint now) {
  SLUICE_ASSERT(!candidates.empty());
  if (candidates.size() == 1) return 0;
  if (wish.sticky != nullptr) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].endpoint == wish.sticky) return i;
    }
  }
  switch (kind_) {
    case config::Balance::kRoundRobin: return by_round(candidates, now);
    case config::Balance::kLeastRequest: return by_load(candidates, now);
    case config::Balance::kRandom: return by_draw(candidates, now);
    case config::Balance::kPeakEwma: return by_latency(candidates, now);
    case config::Balance::kRingHash: return by_ring(candidates, wish, now);
  }
  return 0;
}

// Each earns its share; the richest is asked and pays for all.
size_t Balancer::by_round(std::span<const Candidate> candidates, TimePoint now) const {
  double total = 0;
  size_t best = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const double earned = share(*candidates[i].endpoint, now);
    total += earned;
    candidates[i].track->credit_ += earned;
    if (candidates[i].track->credit_ > candidates[best].track->credit_) best = i;
  }
  candidates[best].track->credit_ -= total;
  return best;
}

size_t Balancer::by_load(std::span<const Candidate> candidates, TimePoint now) const {
  size_t best = 0;
  double least = load(candidates[0], now);
  for (size_t i = 1; i < candidates.size(); ++i) {
    const double its = load(candidates[i], now);
    if (its < least) best = i;
    least = std::min(least, its);
  }
  return best;
}

size_t Balancer::by_draw(std::span<const Candidate> candidates, TimePoint now) {
  const size_t one = draw() % candidates.size();
  const size_t other = (one + 1 + draw() % (candidates.size() - 1)) % candidates.size();
  return load(candidates[one], now) <= load(candidates[other], now) ? one : other;
}

// Who is not known yet is asked at once, to be known; meanwhile it counts as the mean of those who
// are.
size_t Balancer::by_latency(std::span<const Candidate> candidates, TimePoint now) const {
  double sum = 0;
  size_t known = 0;
  for (const Candidate& candidate : candidates) {
    const double its = candidate.track->latency(now);
    sum += its;
    known += its > 0 ? 1 : 0;
  }
  const double mean = known == 0 ? 1 : sum / static_cast<double>(known);
  size_t best = 0;
  double least = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const double its = candidates[i].track->latency(now);
    const bool unknown = its == 0;
    const double cost = unknown && candidates[i].in_flight == 0
                            ? 0
                            : (unknown ? mean : its) * load(candidates[i], now);
    if (i > 0 && cost >= least) continue;
    best = i;
    least = cost;
  }
  return best;
}

size_t Balancer::by_ring(std::span<const Candidate> candidates, const Wish& wish, TimePoint now) {
  if (!wish.has_key || ring_.empty()) return by_draw(candidates, now);
  const auto first =
      std::lower_bound(ring_.begin(), ring_.end(), wish.key,
                       [](const auto& point, uint64_t key) { return point.first < key; });
  auto at = static_cast<size_t>(first - ring_.begin());
  for (size_t seen = 0; seen < ring_.size(); ++seen, ++at) {
    const Endpoint* next = ring_[at % ring_.size()].second;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].endpoint == next) return i;
    }
  }
  return by_draw(candidates, now);
}

}  // namespace sluice::upstream
