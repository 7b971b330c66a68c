// ReloadRecord: what is remembered of reloads: how the last one ended, for `sluice status` and the
// metrics, and how many configurations are still in use. At rest that is one; a second one only as
// long as requests run that began with it. Control thread, but for the gauges (any thread) and the
// last breath of a snapshot (a worker).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/exchange/snapshot.h"
#include "proxy/observe/metrics.h"

namespace sluice::server {

class ReloadRecord {
 public:
  // Adds its gauges. Requires: lives as long as `metrics` are rendered.
  explicit ReloadRecord(observe::Metrics& metrics);

  // The same snapshot, counted for as long as anybody has it.
  std::shared_ptr<const exchange::Snapshot> count(
      std::shared_ptr<const exchange::Snapshot> snapshot) const;
  // `cause`: "order", "signal", "watch", "poll".
  void succeeded(std::string_view cause);
  void refused(std::string_view cause, std::vector<std::string> reasons);

  int generations() const { return alive_->load(); }
  // A map for GET /status, as JSON.
  std::string json() const;

 private:
  enum class Result : uint8_t { kNone, kSuccess, kRefused };
  void note(Result result, std::string_view cause, std::vector<std::string> reasons);

  // Outlives us: a worker's last exchange may hold a snapshot longer.
  const std::shared_ptr<std::atomic<int>> alive_ = std::make_shared<std::atomic<int>>(0);
  std::atomic<bool> last_was_well_{true};
  Result last_ = Result::kNone;
  std::string cause_;
  std::vector<std::string> reasons_;
  WallTime when_{};
};

}  // namespace sluice::server
