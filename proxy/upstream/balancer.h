// Balancer: which of several endpoints gets a request. Pure but for its dice: the cluster says who
// may be asked (state, priority, places), the balancer whom of them. One per cluster; the worker's
// thread only.
//
//   round_robin     smooth and weighted: 5:1:1 gives a a b a c a a, never five in a row
//   least_request   the least in flight for its weight; ties go round
//   random          two are drawn, the less loaded gets it
//   peak_ewma       the least (latency x in flight) for its weight; a peak counts at once and is
//                   forgotten over ten seconds
//   ring_hash       the first on a ring of hashes from the request's key on: when one goes, only
//   its
//                   keys move
// A sticky endpoint comes before all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "proxy/config/upstream.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

struct Wish;

// What a balancer remembers of one endpoint; a pool keeps it.
class Track {
 public:
  // The head of an answer came after `took`.
  void on_answer(Duration took, TimePoint now);
  // In seconds, as of now; 0: nothing known.
  double latency(TimePoint now) const;

 private:
  friend class Balancer;
  double latency_ = 0;
  TimePoint since_{};
  double credit_ = 0;  // of the round robin
};

struct Candidate {
  const Endpoint* endpoint = nullptr;
  Track* track = nullptr;
  uint32_t in_flight = 0;
};

class Balancer {
 public:
  explicit Balancer(uint64_t seed) : dice_(seed | 1) {}

  void reconfigure(const config::Upstream& config,
                   std::span<const std::shared_ptr<Endpoint>> endpoints);
  // The index of the one to ask. Asked again without it when it turns out to be full.
  // Requires: candidates stand in the order of a round, and are not none.
  size_t choose(std::span<const Candidate> candidates, const Wish& wish, TimePoint now);

 private:
  double share(const Endpoint& endpoint, TimePoint now) const;
  double load(const Candidate& candidate, TimePoint now) const;
  size_t by_round(std::span<const Candidate> candidates, TimePoint now) const;
  size_t by_load(std::span<const Candidate> candidates, TimePoint now) const;
  size_t by_draw(std::span<const Candidate> candidates, TimePoint now);
  size_t by_latency(std::span<const Candidate> candidates, TimePoint now) const;
  size_t by_ring(std::span<const Candidate> candidates, const Wish& wish, TimePoint now);
  void build_ring(std::span<const std::shared_ptr<Endpoint>> endpoints);
  uint64_t draw();

  config::Balance kind_ = config::Balance::kRoundRobin;
  Duration slow_start_{0};
  uint64_t dice_;
  std::vector<std::pair<uint64_t, const Endpoint*>> ring_;  // sorted; bounded by kMostPoints
};

}  // namespace sluice::upstream
