// FolderWatch: tells that a path was made, replaced or removed (inotify on its folder), so that a
// unix socket's return is seen before the next look. Where inotify cannot be had it says nothing;
// nobody may rely on it alone. One thread.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/event/loop.h"

namespace sluice::net {

class FolderEvents {
 public:
  virtual void on_path_changed(const std::string& path) = 0;

 protected:
  ~FolderEvents() = default;
};

class FolderWatch final : private event::IoEvents {
 public:
  FolderWatch(event::Loop& loop, FolderEvents& events) : loop_(loop), events_(events) {}

  // False: its folder cannot be watched (now). Again for the same path: no difference.
  bool add(const std::string& path);
  void remove(const std::string& path);

 private:
  struct Folder {
    std::string name;
    std::vector<std::string> paths;  // in it; bounded by who adds
  };
  void on_io(event::IoReady ready) override;
  void tell(int watch, std::string_view name);

  event::Loop& loop_;
  FolderEvents& events_;
  Fd fd_;
  std::unordered_map<int, Folder> folders_;  // by inotify's watch descriptor
  event::IoWatcher watcher_;
};

}  // namespace sluice::net
