// Ejector: what the answers say of the endpoints of one upstream (passive health): one that fails
// beside the others is put out for a while. Never the last that is usable, and no more than `most`
// of them (one may always be, where there are two). Shared by all workers and the control thread:
// an answer that is well costs a load; a mutex is taken for failures only.
//
//   in ── errors in a row, rate, latency ──> out ── time x ejections in a row ──> in
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "proxy/config/upstream.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

class Ejector {
 public:
  // Control thread. What is known of endpoints that stay is kept.
  void reconfigure(const config::Ejection& config,
                   std::span<const std::shared_ptr<Endpoint>> endpoints);
  // Any thread: an attempt is over. `status` 0: no answer came.
  void on_result(Endpoint& endpoint, int status, Duration first_byte);
  // Control thread, now and then: who is let in again, and who is out for his rate or latency.
  void sweep(TimePoint now);

 private:
  struct Case {
    std::shared_ptr<Endpoint> endpoint;
    uint32_t in_a_row = 0;  // ejections, without a quiet interval between them
    TimePoint out_until{};
  };
  void eject(Endpoint& endpoint, TimePoint now);
  bool may_eject(const Endpoint& endpoint) const;
  void judge(Case& one, TimePoint now);

  std::atomic<uint32_t> errors_{5};      // in a row; 0: off
  std::atomic<bool> counts_all_{false};  // rate or latency are asked for
  std::mutex mutex_;                     // guards what follows
  config::Ejection config_;
  std::vector<Case> cases_;
  TimePoint judged_{};
};

}  // namespace sluice::upstream
