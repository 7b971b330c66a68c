// ConfigSource: where the configuration comes from: flags, or a file and what it includes, which is
// watched when it says so, or a URL, which is polled when the file says so: then the URL's text
// replaces the file's, but for `poll` itself. Loads when asked; says when there is something to
// load. Control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/load.h"
#include "proxy/filter/registry.h"
#include "proxy/observe/metrics.h"
#include "proxy/server/config_poll.h"
#include "proxy/server/config_watch.h"

namespace sluice::server {

class ConfigSourceEvents {
 public:
  // Something to load, for this cause ("watch", "poll"; static text). `done` hears, once and at any
  // time, whether it was taken.
  virtual void on_source_changed(std::string_view cause, std::function<void(bool taken)> done) = 0;

 protected:
  ~ConfigSourceEvents() = default;
};

class ConfigSource final : private ConfigWatchEvents, private ConfigPollEvents {
 public:
  // Without a file: the flags.
  ConfigSource(std::string file, config::Flags flags, const filter::Registry& filters);

  // For the cause "poll" what the URL said last; else the file, with the URL's text in its place
  // where that is in force and the file still names the same URL.
  config::Loaded load(std::string_view cause) const;
  bool has_file() const { return !file_.empty(); }

  // From now on changes are told. Requires: all outlive this.
  void start(event::Loop& loop, observe::ProcessLog& log, observe::Metrics& metrics,
             ConfigSourceEvents& events);
  // This is in force now. Requires: started.
  void adopt(const config::Loaded& loaded);
  // This is not; what it was read from may change for the better.
  void refuse(const config::Loaded& loaded);

 private:
  void on_config_changed() override;
  void on_polled() override;
  config::Options how() const;
  void watch(const std::vector<std::string>& files);

  const std::string file_;
  const config::Flags flags_;
  const filter::Registry& filters_;
  std::string hash_;  // of what is in force
  config::Poll in_force_;
  bool is_watching_ = false;
  observe::ProcessLog* log_ = nullptr;
  ConfigSourceEvents* events_ = nullptr;
  std::unique_ptr<ConfigWatch> watch_;
  std::unique_ptr<ConfigPoll> poll_;
};

}  // namespace sluice::server
