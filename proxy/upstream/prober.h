// Prober: the active checks of endpoints whose upstream asks for them (config::HealthCheck): a
// request in the upstream's protocol, or a connect, on a connection of its own, at an interval with
// jitter. `rise` in a row well is kChecksWell, `fall` in a row badly is kChecksBadly; a refused
// connection is kRefused at once. Owned by Lookout; control thread.
#pragma once

#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "proxy/config/upstream.h"
#include "proxy/event/loop.h"
#include "proxy/observe/metrics.h"
#include "proxy/upstream/inquiry.h"

namespace sluice::upstream {

class Prober final : private InquiryEvents {
 public:
  // Requires: loop, metrics outlive it.
  Prober(event::Loop& loop, observe::Metrics& metrics);
  ~Prober();

  // The first check starts at once. Again with other settings: they count from the next check on.
  void watch(std::shared_ptr<Endpoint> endpoint, const config::Upstream& upstream);
  void unwatch(const Endpoint& endpoint);

  size_t size() const { return patients_.size(); }
  size_t running() const { return running_; }

 private:
  class Patient;
  static constexpr size_t kMostRunning = 16;

  void on_answered(Inquiry& inquiry, const InquiryResult& result) override;
  void start(Patient& patient);
  void conclude(Patient& patient, const Inquiry& inquiry, const InquiryResult& result);
  void start_next();
  double jitter(uint32_t percent);

  event::Loop& loop_;
  observe::Metrics& metrics_;
  std::minstd_rand dice_;
  size_t running_ = 0;                              // bounded by kMostRunning
  std::deque<Patient*> due_;                        // wait for one of them; each patient once
  std::vector<std::unique_ptr<Patient>> patients_;  // as many as the Directory has endpoints
};

}  // namespace sluice::upstream
