#include "proxy/server/config_poll.h"

#include <utility>

namespace sluice::server {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"changed", "unchanged", "refused", "failed"};

}  // namespace

ConfigPoll::ConfigPoll(event::Loop& loop, observe::ProcessLog& log, Count count,
                       ConfigPollEvents& events)
    : loop_(loop),
      log_(log),
      count_(std::move(count)),
      events_(events),
      timer_(loop.timers(), *this) {}

void ConfigPoll::apply(const config::Poll& config) {
  const bool same = config.url == config_.url && config.authorization == config_.authorization;
  config_ = config;
  if (same) return;
  fetch_.reset();
  text_.clear();
  etag_.clear();
  offered_.clear();
  timer_.cancel();
  if (!config_.url.empty()) timer_.arm(Duration{0});
}

void ConfigPoll::on_timer(event::Timer&) {
  auto request = fetch_of(config_.url);
  if (!request) return;  // the configuration's reader has made sure
  if (!etag_.empty()) request->headers.emplace_back("If-None-Match", etag_);
  if (!config_.authorization.empty()) {
    request->headers.emplace_back("Authorization", config_.authorization);
  }
  fetch_ = std::make_unique<Fetch>(
      loop_, std::move(*request),
      [this](::sluice::Result<FetchAnswer> answer) { on_answer(std::move(answer)); });
}

void ConfigPoll::on_answer(::sluice::Result<FetchAnswer> answer) {
  const bool well = answer && (answer->status == 200 || answer->status == 304);
  if (!well) {
    const std::string why =
        answer ? "status " + std::to_string(answer->status) : std::string(answer.error().detail);
    log_.limited(observe::Severity::kWarning, "poll", "poll " + config_.url + ": " + why);
    return done(Result::kFailed);
  }
  if (answer->status == 304) return done(Result::kUnchanged);
  // Not every server knows entity tags.
  if (!text_.empty() && answer->body == text_) {
    etag_ = answer->etag;
    return done(Result::kUnchanged);
  }
  offered_ = std::move(answer->body);
  offered_etag_ = std::move(answer->etag);
  events_.on_polled();
}

void ConfigPoll::settle(bool taken) {
  if (taken) {
    text_ = std::move(offered_);
    etag_ = std::move(offered_etag_);
  }
  offered_.clear();
  done(taken ? Result::kChanged : Result::kRefused);
}

// A tenth to either side: tasks that started together do not ask together for ever.
void ConfigPoll::done(Result result) {
  const auto index = static_cast<size_t>(result);
  count_(kNames[index], ++results_[index]);
  if (config_.url.empty()) return;
  std::uniform_real_distribution<double> spread(0.9, 1.1);
  timer_.arm(std::chrono::duration_cast<Duration>(config_.interval * spread(random_)));
}

}  // namespace sluice::server
