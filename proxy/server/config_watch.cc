#include "proxy/server/config_watch.h"

#include <fnmatch.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

namespace sluice::server {
namespace {

namespace fs = std::filesystem;

constexpr Duration kSettle = std::chrono::milliseconds(200);  // since the last news
constexpr Duration kLongest = std::chrono::seconds(1);        // since the first
constexpr int kMostLinks = 40;                                // as the kernel has it (ELOOP)
constexpr uint32_t kNews = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_TO |
                           IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

ConfigWatch::ConfigWatch(event::Loop& loop, ConfigWatchEvents& events)
    : loop_(loop), events_(events), settle_(loop.timers(), *this) {}

// Goes the way to the file as the kernel does, and notes where each link stands.
void ConfigWatch::add_way(std::string path, Places& places) {
  std::error_code error;
  fs::path rest = fs::absolute(path, error).lexically_normal();
  for (int links = 0; links < kMostLinks; ++links) {
    fs::path here;
    bool followed = false;
    for (auto part = rest.begin(); part != rest.end() && !followed; ++part) {
      const fs::path folder = here;
      here /= *part;
      if (!fs::is_symlink(here, error)) continue;
      places[folder.string()].insert(part->string());
      fs::path next = folder / fs::read_symlink(here, error);
      for (auto tail = std::next(part); tail != rest.end(); ++tail) next /= *tail;
      rest = next.lexically_normal();
      followed = true;
    }
    if (!followed) break;
  }
  places[rest.parent_path().string()].insert(rest.filename().string());
}

Status ConfigWatch::watch(const std::vector<std::string>& files) {
  Places places;
  for (const std::string& file : files) add_way(file, places);
  if (fd_.is_open() && places == places_ && folders_.size() == places_.size()) return {};
  const bool again = !places_.empty();
  places_ = std::move(places);
  if (again) tell_soon();
  return open();
}

void ConfigWatch::stop() {
  settle_.cancel();
  watcher_.stop();
  folders_.clear();
  places_.clear();
  fd_.reset();
}

// Anew each time: the numbers of folders that were replaced mean nothing any more.
Status ConfigWatch::open() {
  watcher_.stop();
  folders_.clear();
  fd_ = Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd_.is_open()) return fail_errno(errno, Side::kUs, "inotify");
  Status status;
  for (const auto& [folder, names] : places_) {
    const int watch = ::inotify_add_watch(fd_.get(), folder.c_str(), kNews);
    if (watch >= 0) {
      folders_[watch] = folder;
    } else {
      status = fail_errno(errno, Side::kUs, "watch " + folder);
    }
  }
  if (const auto started = watcher_.start_level(loop_, fd_.get(), *this); !started) return started;
  return status;
}

bool ConfigWatch::concerns(int watch, const std::string& name) const {
  const auto folder = folders_.find(watch);
  if (folder == folders_.end() || name.empty()) return true;
  const auto& names = places_.at(folder->second);
  return std::any_of(names.begin(), names.end(), [&name](const std::string& wanted) {
    return ::fnmatch(wanted.c_str(), name.c_str(), FNM_PERIOD) == 0 || wanted == name;
  });
}

void ConfigWatch::on_io(event::IoReady) {
  alignas(inotify_event) std::array<char, 4096> room;
  const ssize_t got = ::read(fd_.get(), room.data(), room.size());  // the rest is told again
  for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
    const auto* news = reinterpret_cast<const inotify_event*>(room.data() + at);
    at += static_cast<ssize_t>(sizeof *news + news->len);
    if ((news->mask & IN_IGNORED) != 0) folders_.erase(news->wd);  // the folder has gone
    if (concerns(news->wd, news->len == 0 ? std::string{} : std::string(news->name))) tell_soon();
  }
}

void ConfigWatch::tell_soon() {
  const TimePoint now = loop_.now();
  if (!settle_.is_armed()) first_news_ = now;
  settle_.arm(std::clamp(first_news_ + kLongest - now, Duration{0}, kSettle));
}

void ConfigWatch::on_timer(event::Timer&) {
  events_.on_config_changed();
}

}  // namespace sluice::server
