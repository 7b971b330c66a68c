#include "proxy/observe/process_log.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <poll.h>

#include "proxy/observe/log_file.h"

namespace sluice::observe {

using namespace std::chrono_literals;

namespace {

constexpr size_t kMostWaiting = 256;  // lines; each place takes about 400 bytes from the start
constexpr size_t kMostText = 4096;
constexpr size_t kMostKeys = 256;
constexpr Duration kAllowance = 1s;
constexpr int kPatience = 1000;  // milliseconds for a reader that takes nothing

spdlog::level::level_enum to_spdlog(Severity severity) {
  switch (severity) {
    case Severity::kDebug: return spdlog::level::debug;
    case Severity::kInfo: return spdlog::level::info;
    case Severity::kWarning: return spdlog::level::warn;
    case Severity::kError: break;
  }
  return spdlog::level::err;
}

// A text may quote what a client sent: one line stays one line, and no terminal is steered.
std::string to_line(std::string_view text) {
  static constexpr char kHexDigits[] = "0123456789abcdef";
  std::string line;
  line.reserve(text.size());
  for (const char c : text.substr(0, kMostText)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      line.push_back(c);
    } else {
      line += {'\\', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
    }
  }
  return line;
}

// Runs on the log's own thread. A stuck reader costs one second once, then lines until it reads
// again.
class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(LogFile file) : file_(std::move(file)) {}

  void swap(LogFile file) {
    const std::lock_guard lock(mutex_);
    file_ = std::move(file);
    is_stuck_ = false;
  }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string_view rest(line.data(), line.size());
    while (!rest.empty()) {
      int error = 0;
      const size_t size = file_.write(rest, error);
      rest.remove_prefix(size);
      if (size > 0) continue;
      pollfd writable{file_.fd(), POLLOUT, 0};
      if (error == 0 && ::poll(&writable, 1, is_stuck_ ? 0 : kPatience) > 0) continue;
      is_stuck_ = error == 0;
      lost_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    is_stuck_ = false;
  }
  void flush_() override {}

  LogFile file_;
  bool is_stuck_ = false;
  std::atomic<uint64_t> lost_{0};
};

// How often each key may speak.
class Allowances {
 public:
  // Nothing: be silent. Otherwise how many lines were left out since the last one.
  std::optional<uint64_t> ask(std::string_view key, TimePoint now) {
    const std::lock_guard lock(mutex_);
    auto found = keys_.find(std::string(key));
    if (found == keys_.end()) {
      if (keys_.size() >= kMostKeys)
        std::erase_if(keys_, [&](auto& k) { return k.second.is_over(now); });
      if (keys_.size() >= kMostKeys) return rest_.ask(now);
      found = keys_.emplace(std::string(key), Allowance{}).first;
    }
    return found->second.ask(now);
  }

 private:
  struct Allowance {
    std::optional<TimePoint> spoke;
    uint64_t left_out = 0;
    bool is_over(TimePoint now) const { return !spoke || now - *spoke >= kAllowance; }
    std::optional<uint64_t> ask(TimePoint now) {
      if (!is_over(now)) {
        ++left_out;
        return std::nullopt;
      }
      spoke = now;
      return std::exchange(left_out, 0);
    }
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Allowance> keys_;
  Allowance rest_;
};

}  // namespace

// spdlog wants shared_ptr for its parts; nobody else gets a copy.
struct ProcessLog::Core {
  Core(std::string file_path, LogFile file)
      : path(std::move(file_path)), sink(std::make_shared<FileSink>(std::move(file))) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                                                                 spdlog::pattern_time_type::utc);
    sink->set_formatter(std::move(formatter));
    logger = std::make_shared<spdlog::async_logger>("sluice", sink, pool,
                                                    spdlog::async_overflow_policy::overrun_oldest);
  }
  static void ignore_signals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  }

  std::mutex path_mutex;
  std::string path;
  Allowances allowances;
  const std::shared_ptr<FileSink> sink;
  const std::shared_ptr<spdlog::details::thread_pool> pool =
      std::make_shared<spdlog::details::thread_pool>(kMostWaiting, 1, ignore_signals);
  std::shared_ptr<spdlog::async_logger> logger;
};

Result<std::unique_ptr<ProcessLog>> ProcessLog::open(ProcessLogOptions options) {
  auto file = LogFile::open(options.path);
  if (!file) return tl::unexpected(file.error());
  auto core = std::make_unique<Core>(std::move(options.path), std::move(*file));
  std::unique_ptr<ProcessLog> log(new ProcessLog(std::move(core)));
  log->set_level(options.level);
  return log;
}

ProcessLog::ProcessLog(std::unique_ptr<Core> core) : core_(std::move(core)) {}
ProcessLog::~ProcessLog() = default;

bool ProcessLog::is_on(Severity severity) const {
  return core_->logger->should_log(to_spdlog(severity));
}

void ProcessLog::say(Severity severity, std::string_view text) {
  if (is_on(severity)) core_->logger->log(to_spdlog(severity), to_line(text));
}

void ProcessLog::limited(Severity severity, std::string_view key, std::string_view text,
                         TimePoint now) {
  if (!is_on(severity)) return;
  const auto left_out = core_->allowances.ask(key, now);
  if (!left_out) return;
  if (*left_out == 0) return say(severity, text);
  std::string with_count(text);
  with_count += " (" + std::to_string(*left_out) + " suppressed)";
  say(severity, with_count);
}

void ProcessLog::set_level(Severity level) {
  core_->logger->set_level(to_spdlog(level));
}

Status ProcessLog::reopen() {
  const std::lock_guard lock(core_->path_mutex);
  auto file = LogFile::open(core_->path);
  if (!file) return tl::unexpected(file.error());
  core_->sink->swap(std::move(*file));
  return {};
}

Status ProcessLog::apply(const ProcessLogOptions& options) {
  {
    const std::lock_guard lock(core_->path_mutex);
    if (options.path != core_->path) {
      auto file = LogFile::open(options.path);
      if (!file) return tl::unexpected(file.error());
      core_->sink->swap(std::move(*file));
      core_->path = options.path;
    }
  }
  set_level(options.level);
  return {};
}

uint64_t ProcessLog::lost() const {
  return core_->sink->lost() + core_->pool->overrun_counter();
}

}  // namespace sluice::observe
