#include "proxy/observe/process_stats.h"

#include <charconv>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <ctime>

#include "proxy/base/fd.h"
#include "proxy/base/text.h"

namespace sluice::observe {

namespace {

std::string contents(const char* path) {
  const Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  std::string text(4096, '\0');  // /proc/self/stat is a line of a few hundred bytes
  const ssize_t size = fd.is_open() ? ::read(fd.get(), text.data(), text.size()) : 0;
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

uint64_t count_descriptors() {
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = ::readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(folder);
  return count > 0 ? count - 1 : 0;  // without the one this took
}

double read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double to_seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

ProcessStats ProcessStats::read() {
  ProcessStats stats;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    stats.cpu_seconds = to_seconds(usage.ru_utime) + to_seconds(usage.ru_stime);
  }
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) == 0) stats.most_descriptors = descriptors.rlim_cur;
  stats.open_descriptors = count_descriptors();

  // proc(5): the second field is the program's name in brackets and may hold spaces; the third is
  // the first after the last bracket. Threads are field 20, start 22, virtual bytes 23, resident
  // pages 24.
  const std::string text = contents("/proc/self/stat");
  const auto bracket = text.rfind(')');
  if (bracket == std::string::npos || bracket + 2 > text.size()) return stats;
  const auto fields = split(std::string_view(text).substr(bracket + 2), ' ');
  const auto field = [&](size_t which) {
    return which - 3 < fields.size() ? number(fields[which - 3]) : 0;
  };
  stats.threads = field(20);
  stats.virtual_bytes = field(23);
  stats.resident_bytes = field(24) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const double since_boot =
      static_cast<double>(field(22)) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  stats.start_time_seconds = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME) + since_boot;
  return stats;
}

}  // namespace sluice::observe
