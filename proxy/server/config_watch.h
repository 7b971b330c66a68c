// ConfigWatch: tells when a configuration file, or a file it includes, may say something else
// (inotify). What is watched is folders, never files: editors and mounted volumes replace a file by
// renaming, the latter by swapping a symlink on its way (..data -> a new folder), so each folder
// that holds a link on the way is watched, too. News within a moment are one. Control thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"

namespace sluice::server {

class ConfigWatchEvents {
 public:
  virtual void on_config_changed() = 0;

 protected:
  ~ConfigWatchEvents() = default;
};

class ConfigWatch final : private event::IoEvents, private event::TimerEvents {
 public:
  ConfigWatch(event::Loop& loop, ConfigWatchEvents& events);

  // These from now on, in place of those before: files, and patterns of files ("/etc/x/*.yaml").
  // Where the ways there have changed, on_config_changed() comes once, as something may have been
  // missed. The error: inotify cannot be had, or one of the folders not be watched.
  Status watch(const std::vector<std::string>& files);
  void stop();

 private:
  // Names in a folder, or patterns of names.
  using Places = std::map<std::string, std::set<std::string>>;
  static void add_way(std::string path, Places& places);
  Status open();
  void on_io(event::IoReady ready) override;
  void on_timer(event::Timer& timer) override;
  bool concerns(int watch, const std::string& name) const;
  void tell_soon();

  event::Loop& loop_;
  ConfigWatchEvents& events_;
  Places places_;  // bounded by the files of a configuration and the links on their ways
  std::map<int, std::string> folders_;  // by inotify's number
  TimePoint first_news_{};              // of those that wait
  event::Timer settle_;
  Fd fd_;
  event::IoWatcher watcher_;
};

}  // namespace sluice::server
