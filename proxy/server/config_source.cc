#include "proxy/server/config_source.h"

#include <utility>

namespace sluice::server {
namespace {

constexpr std::string_view kPolled = "poll";
constexpr std::string_view kWatched = "watch";

bool same_url(const config::Poll& one, const config::Poll& other) {
  return one.url == other.url && one.authorization == other.authorization;
}

// `poll` says where the text comes from: the text itself has no say in it.
config::Loaded with_poll(config::Loaded loaded, const config::Poll& poll) {
  if (loaded.config == nullptr) return loaded;
  auto changed = std::make_shared<config::Config>(*loaded.config);
  changed->poll = poll;
  loaded.config = std::move(changed);
  return loaded;
}

}  // namespace

ConfigSource::ConfigSource(std::string file, config::Flags flags, const filter::Registry& filters)
    : file_(std::move(file)), flags_(std::move(flags)), filters_(filters) {}

config::Options ConfigSource::how() const {
  config::Options options;
  options.filters = &filters_;
  return options;
}

config::Loaded ConfigSource::load(std::string_view cause) const {
  if (!has_file()) return config::from_flags(flags_, how());
  if (cause == kPolled) {
    return with_poll(config::load_text(poll_->offered(), in_force_.url, how()), in_force_);
  }
  config::Loaded file = config::load_file(file_, how());
  const bool polled = poll_ != nullptr && !poll_->text().empty() && file.config != nullptr &&
                      same_url(file.config->poll, in_force_);
  if (!polled) return file;
  auto text = with_poll(config::load_text(poll_->text(), in_force_.url, how()), file.config->poll);
  text.files = std::move(file.files);
  return text;
}

void ConfigSource::start(event::Loop& loop, observe::ProcessLog& log, observe::Metrics& metrics,
                         ConfigSourceEvents& events) {
  log_ = &log;
  events_ = &events;
  ConfigWatchEvents& watched = *this;
  watch_ = std::make_unique<ConfigWatch>(loop, watched);
  ConfigPollEvents& polled = *this;
  const auto count = [&metrics](std::string_view result, uint64_t total) {
    metrics.tell("sluice_polls_total", "Times the configuration's URL was asked, by result.",
                 "result", std::string(result), total);
  };
  poll_ = std::make_unique<ConfigPoll>(loop, log, count, polled);
}

void ConfigSource::adopt(const config::Loaded& loaded) {
  if (!has_file()) return;
  hash_ = loaded.config->hash;
  in_force_ = loaded.config->poll;
  is_watching_ = loaded.config->watch;
  if (!is_watching_) watch_->stop();
  if (!loaded.files.empty()) watch(loaded.files);
  poll_->apply(in_force_);
}

void ConfigSource::refuse(const config::Loaded& loaded) {
  if (!loaded.files.empty()) watch(loaded.files);
}

void ConfigSource::watch(const std::vector<std::string>& files) {
  if (!is_watching_) return;
  const auto watched = watch_->watch(files);
  if (!watched) {
    log_->limited(observe::Severity::kWarning, "watch",
                  "watching the configuration: " + watched.error().detail);
  }
}

void ConfigSource::on_config_changed() {
  const config::Loaded now = load(kWatched);
  const bool same =
      now.config != nullptr && now.config->hash == hash_ && now.config->poll == in_force_;
  if (same) return watch(now.files);
  events_->on_source_changed(kWatched, [](bool) {});
}

void ConfigSource::on_polled() {
  events_->on_source_changed(kPolled, [this](bool taken) { poll_->settle(taken); });
}

}  // namespace sluice::server
