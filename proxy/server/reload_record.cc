#include "proxy/server/reload_record.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace sluice::server {

ReloadRecord::ReloadRecord(observe::Metrics& metrics) {
  metrics.read_gauge("config_last_reload_successful",
                     "1: the last reload is in force, or there was none; 0: it was refused.",
                     [this] { return last_was_well_.load() ? 1.0 : 0.0; });
  metrics.read_gauge("generations", "Configurations that somebody still uses.",
                     [alive = alive_] { return static_cast<double>(alive->load()); });
}

std::shared_ptr<const exchange::Snapshot> ReloadRecord::count(
    std::shared_ptr<const exchange::Snapshot> snapshot) const {
  alive_->fetch_add(1);
  const exchange::Snapshot* const counted = snapshot.get();
  const auto forget = [owner = std::move(snapshot), alive = alive_](const auto*) mutable {
    owner.reset();
    alive->fetch_sub(1);
  };
  return {counted, forget};
}

void ReloadRecord::succeeded(std::string_view cause) {
  note(Result::kSuccess, cause, {});
}

void ReloadRecord::refused(std::string_view cause, std::vector<std::string> reasons) {
  note(Result::kRefused, cause, std::move(reasons));
}

void ReloadRecord::note(Result result, std::string_view cause, std::vector<std::string> reasons) {
  last_was_well_ = result == Result::kSuccess;
  last_ = result;
  cause_ = cause;
  reasons_ = std::move(reasons);
  when_ = wall_now();
}

std::string ReloadRecord::json() const {
  constexpr const char* kNames[] = {"none", "success", "refused"};
  nlohmann::json out{{"result", kNames[static_cast<size_t>(last_)]}};
  if (last_ != Result::kNone) {
    const auto ago = std::chrono::duration_cast<std::chrono::seconds>(wall_now() - when_);
    out["cause"] = cause_;
    out["seconds_ago"] = ago.count();
    out["reasons"] = reasons_;
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace sluice::server
