// ConfigPoll: asks a URL for the configuration again and again (AppConfig's agent on localhost) and
// offers what it says to the process, which takes it or not by the way of every reload. What cannot
// be had changes nothing. Control thread.
//
//   waiting ── interval ± a tenth ──> asking ── 304, the same text, a failure ──> waiting
//      ^                                 └── another text ──> offered ── settle() ──┐
//      └──────────────────────────────────────────────────────────────────────────────┘
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "proxy/config/config.h"
#include "proxy/event/timers.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/fetch.h"

namespace sluice::server {

class ConfigPollEvents {
 public:
  // offered() is there to be taken; settle() has to follow, now or on a later tick.
  virtual void on_polled() = 0;

 protected:
  ~ConfigPollEvents() = default;
};

class ConfigPoll final : private event::TimerEvents {
 public:
  enum class Result : uint8_t { kChanged, kUnchanged, kRefused, kFailed };
  using Count = std::function<void(std::string_view result, uint64_t total)>;

  // `count` hears of each result, with how often it occurred.
  ConfigPoll(event::Loop& loop, observe::ProcessLog& log, Count count, ConfigPollEvents& events);

  // Another URL begins anew, and is asked at once; the same goes on.
  void apply(const config::Poll& config);
  // What is in force of it; empty: nothing, the file's own text is.
  const std::string& text() const { return text_; }
  const std::string& offered() const { return offered_; }
  void settle(bool taken);

 private:
  void on_timer(event::Timer& timer) override;
  void on_answer(::sluice::Result<FetchAnswer> answer);
  void done(Result result);

  event::Loop& loop_;
  observe::ProcessLog& log_;
  const Count count_;
  ConfigPollEvents& events_;
  config::Poll config_;
  std::string text_;
  std::string etag_;  // of text_
  std::string offered_;
  std::string offered_etag_;
  std::array<uint64_t, 4> results_{};
  std::minstd_rand random_{std::random_device{}()};
  event::Timer timer_;
  std::unique_ptr<Fetch> fetch_;
};

}  // namespace sluice::server
