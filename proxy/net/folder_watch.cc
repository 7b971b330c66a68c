#include "proxy/net/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace sluice::net {
namespace {

constexpr uint32_t kNews = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM;

std::pair<std::string, std::string> parts_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

bool FolderWatch::add(const std::string& path) {
  if (!fd_.is_open()) {
    fd_ = Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!fd_.is_open()) return false;
    if (!watcher_.start_level(loop_, fd_.get(), *this)) {
      fd_.reset();
      return false;
    }
  }
  const std::string name = parts_of(path).first;
  // For a folder that is watched already this gives the same number again.
  const int watch = ::inotify_add_watch(fd_.get(), name.c_str(), kNews | IN_ONLYDIR);
  if (watch < 0) return false;
  Folder& folder = folders_[watch];
  folder.name = name;
  const auto known = std::find(folder.paths.begin(), folder.paths.end(), path);
  if (known == folder.paths.end()) folder.paths.push_back(path);
  return true;
}

void FolderWatch::remove(const std::string& path) {
  for (auto at = folders_.begin(); at != folders_.end();) {
    std::erase(at->second.paths, path);
    if (!at->second.paths.empty()) {
      ++at;
      continue;
    }
    ::inotify_rm_watch(fd_.get(), at->first);
    at = folders_.erase(at);
  }
}

void FolderWatch::on_io(event::IoReady) {
  alignas(inotify_event) std::array<char, 4096> room;
  const ssize_t got = ::read(fd_.get(), room.data(), room.size());  // the rest is told again
  for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
    const auto* news = reinterpret_cast<const inotify_event*>(room.data() + at);
    at += static_cast<ssize_t>(sizeof *news + news->len);
    const std::string_view name =
        news->len == 0 ? std::string_view{} : std::string_view{news->name};
    tell(news->wd, name);
    // The folder itself has gone; its number means nothing any more.
    if ((news->mask & IN_IGNORED) != 0) folders_.erase(news->wd);
  }
}

void FolderWatch::tell(int watch, std::string_view name) {
  const auto folder = folders_.find(watch);
  if (folder == folders_.end()) return;
  // A copy: who is told may add and remove.
  const std::vector<std::string> paths = folder->second.paths;
  for (const std::string& path : paths) {
    if (name.empty() || parts_of(path).second == name) events_.on_path_changed(path);
  }
}

}  // namespace sluice::net
