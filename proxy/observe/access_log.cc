#include "proxy/observe/access_log.h"

#include <algorithm>
#include <csignal>

#include <poll.h>

namespace sluice::observe {

using namespace std::chrono_literals;

namespace {

constexpr Duration kTick = 100ms;
constexpr size_t kMostChunk = 64 * 1024;
constexpr size_t kMostWritesPerPass = 64;

size_t chunk_size(size_t share) {
  return std::clamp<size_t>(share / 4, AccessLogFormatter::kMostLine, kMostChunk);
}

uint64_t line_count(std::string_view lines) {
  return static_cast<uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
}

}  // namespace

Result<std::unique_ptr<AccessLog>> AccessLog::open(AccessLogOptions options, size_t workers) {
  LogFile file;
  if (options.format != AccessLogFormat::kOff) {
    auto opened = LogFile::open(options.path);
    if (!opened) return tl::unexpected(opened.error());
    file = std::move(*opened);
  }
  return std::unique_ptr<AccessLog>(new AccessLog(std::move(options), workers, std::move(file)));
}

AccessLog::AccessLog(AccessLogOptions options, size_t workers, LogFile file)
    : options_(std::move(options)), file_(std::move(file)) {
  const size_t share = options_.buffer.count / std::max<size_t>(workers, 1);
  const size_t chunk = chunk_size(share);
  for (size_t i = 0; i < workers; ++i) {
    const size_t waiting = std::max<size_t>(share / chunk, 1);
    queues_.push_back(std::make_unique<AccessLogQueue>(bell_, chunk, waiting));
  }
  set_format(options_.format);
  writer_ = std::thread([this] { run(); });
}

AccessLog::~AccessLog() {
  close(1s);
}

Status AccessLog::reopen() {
  if (options_.format == AccessLogFormat::kOff) return {};
  return swap_file(options_.path);
}

Status AccessLog::apply(const AccessLogOptions& options) {
  const bool has_file = options_.format != AccessLogFormat::kOff;
  const bool wants_file = options.format != AccessLogFormat::kOff;
  if (wants_file && (!has_file || options.path != options_.path)) {
    if (auto swapped = swap_file(options.path); !swapped) return swapped;
  }
  options_.format = options.format;
  options_.path = options.path;
  set_format(options.format);
  return {};
}

// Opened here, on the control thread, so that the caller gets the verdict.
Status AccessLog::swap_file(const std::string& path) {
  auto opened = LogFile::open(path);
  if (!opened) return tl::unexpected(opened.error());
  std::unique_lock lock(mutex_);
  next_file_ = std::move(*opened);
  bell_.ring();
  // So that what is logged from now on goes there; a disk that hangs only delays that.
  done_.wait_for(lock, 1s, [this] { return !next_file_.has_value(); });
  return {};
}

void AccessLog::set_format(AccessLogFormat format) {
  for (auto& queue : queues_) queue->set_format(format);
}

bool AccessLog::flush(Duration most) {
  std::unique_lock lock(mutex_);
  if (!writer_.joinable()) return true;
  const uint64_t wanted = ++flush_wanted_;
  bell_.ring();
  return done_.wait_for(lock, most, [&] { return flush_done_ >= wanted; });
}

void AccessLog::close(Duration most) {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_by_ = steady_now() + most;
    bell_.ring();
  }
  writer_.join();
}

uint64_t AccessLog::lost() const {
  uint64_t sum = lost_.load(std::memory_order_relaxed);
  for (const auto& queue : queues_) sum += queue->lost();
  return sum;
}

void AccessLog::run() {
  // Signals are for the control thread; SIGPIPE and SIGXFSZ become EPIPE and EFBIG here.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (;;) {
    std::unique_lock lock(mutex_);
    const uint64_t flush = flush_wanted_;
    const std::optional<TimePoint> stop_by = stop_by_;
    const bool has_next_file = next_file_.has_value();
    lock.unlock();

    const Pass pass = drain();
    if (has_next_file) take_file(pass == Pass::kEmpty || pass == Pass::kSome);
    if (pass == Pass::kEmpty || pass == Pass::kSome) {
      lock.lock();
      flush_done_ = flush;
      lock.unlock();
      done_.notify_all();
    }
    if (stop_by && (pass == Pass::kEmpty || steady_now() >= *stop_by)) break;
    wait(pass, stop_by);
  }
  for (auto& queue : queues_) {
    for (auto lines = queue->front(); !lines.empty(); lines = queue->front()) drop(*queue, lines);
  }
}

// Writes what the queues hold, a stretch of whole lines from each in turn. kEmpty and kSome: all
// that was there when the pass began is out or lost.
AccessLog::Pass AccessLog::drain() {
  size_t writes = 0;
  for (size_t empty = 0; empty < queues_.size();) {
    AccessLogQueue& queue = *queues_[turn_];
    const std::string_view lines = queue.front();
    if (!lines.empty()) {
      if (!write_front(queue, lines)) return Pass::kBlocked;
      if (++writes == kMostWritesPerPass) return Pass::kMore;
    }
    empty = lines.empty() ? empty + 1 : 0;
    turn_ = (turn_ + 1) % queues_.size();
  }
  return writes == 0 ? Pass::kEmpty : Pass::kSome;
}

// False: the file takes no more now.
bool AccessLog::write_front(AccessLogQueue& queue, std::string_view lines) {
  if (!file_.is_open()) return false;  // the log was off; the file is on its way
  int error = 0;
  if (is_torn_ && file_.write("\n", error) == 0) {
    if (error == 0) return false;
    drop(queue, lines);
    return true;
  }
  is_torn_ = false;
  while (!lines.empty()) {
    const size_t size = file_.write(lines, error);
    if (error != 0) {
      last_error_.store(error, std::memory_order_relaxed);
      is_torn_ = is_mid_line_;
      is_mid_line_ = false;
      drop(queue, lines);
      return true;
    }
    if (size == 0) return false;
    is_mid_line_ = lines[size - 1] != '\n';
    lines.remove_prefix(size);
    queue.pop(size);
  }
  return true;
}

void AccessLog::drop(AccessLogQueue& queue, std::string_view lines) {
  lost_.fetch_add(line_count(lines), std::memory_order_relaxed);
  queue.pop(lines.size());
}

void AccessLog::take_file(bool is_drained) {
  if (!is_drained && is_mid_line_) {
    // The old reader is stuck within a line: its rest would be nonsense at the start of a new file.
    AccessLogQueue& queue = *queues_[turn_];
    const std::string_view rest = queue.front();
    drop(queue, rest.substr(0, rest.find('\n') + 1));
  }
  is_mid_line_ = false;
  is_torn_ = false;
  const std::lock_guard lock(mutex_);
  file_ = std::move(*next_file_);
  next_file_.reset();
  done_.notify_all();
}

// A worker's line and the doze flag are both plain stores, so a line may slip in unseen just as the
// writer lies down. It therefore dozes for one tick first and looks again before it sleeps until
// rung: by then either side has seen the other's store. Saves a fence per line.
void AccessLog::wait(Pass pass, std::optional<TimePoint> stop_by) {
  if (pass == Pass::kMore) return;
  quiet_passes_ = pass == Pass::kEmpty ? quiet_passes_ + 1 : 0;
  if (quiet_passes_ == 1) bell_.doze();
  std::optional<Duration> most;
  if (pass == Pass::kSome || quiet_passes_ == 1) most = kTick;
  if (stop_by) {
    const auto left = std::max<Duration>(*stop_by - steady_now(), 1ms);
    most = pass == Pass::kSome ? Duration{0} : std::min(left, most.value_or(left));
  }
  const int timeout =
      most ? static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*most).count()) : -1;
  pollfd news[2] = {{bell_.fd(), POLLIN, 0}, {file_.fd(), POLLOUT, 0}};
  const nfds_t count = pass == Pass::kBlocked ? 2 : 1;
  if (::poll(news, count, timeout) > 0 && news[0].revents != 0) {
    bell_.silence();
    bell_.wake();
    quiet_passes_ = 0;
  }
}

}  // namespace sluice::observe
