// AccessLog: one per process. Owns the file, one queue per worker and the thread that writes what
// the queues hold: at once when it was idle, else every 100 ms or when a chunk is full. A full
// disk, a slow reader or a closed pipe costs lines, which are counted, and never a worker's time.
// Made before the workers, closed after them. Control thread, but for the queues.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/observe/access_log_format.h"
#include "proxy/observe/access_log_queue.h"
#include "proxy/observe/log_file.h"

namespace sluice::observe {

struct AccessLogOptions {
  AccessLogFormat format = AccessLogFormat::kJson;
  std::string path = "/dev/stdout";
  Bytes buffer = 1_MiB;  // lines that wait, all workers together
};

class AccessLog {
 public:
  static Result<std::unique_ptr<AccessLog>> open(AccessLogOptions options, size_t workers);
  ~AccessLog();  // closes within a second

  // Belongs to one worker from then on, and lives as long as the log. Requires: worker < workers.
  AccessLogQueue& queue(size_t worker) { return *queues_[worker]; }

  // Opens the path again: the file was moved away. What was logged before goes to the old one.
  Status reopen();
  // A reload: another format or path. On failure all stays as it was. `buffer` is fixed at birth.
  Status apply(const AccessLogOptions& options);
  // Waits until what was logged before the call is written or lost; false when `most` was too
  // short.
  bool flush(Duration most);
  // Writes what it still can in `most`; the rest is lost. Requires: the workers log no more.
  void close(Duration most);

  // Any thread.
  uint64_t lost() const;
  // The errno of the last write that failed; 0: none did.
  int last_error() const { return last_error_.load(std::memory_order_relaxed); }

 private:
  enum class Pass : uint8_t { kEmpty, kSome, kMore, kBlocked };

  AccessLog(AccessLogOptions options, size_t workers, LogFile file);
  Status swap_file(const std::string& path);
  void set_format(AccessLogFormat format);

  // The writer thread's.
  void run();
  Pass drain();
  bool write_front(AccessLogQueue& queue, std::string_view lines);
  void drop(AccessLogQueue& queue, std::string_view lines);
  void take_file(bool is_drained);
  void wait(Pass pass, std::optional<TimePoint> stop_by);

  AccessLogOptions options_;
  Bell bell_;
  std::vector<std::unique_ptr<AccessLogQueue>> queues_;
  std::atomic<uint64_t> lost_{0};  // by the writer
  std::atomic<int> last_error_{0};

  // Orders to the writer.
  std::mutex mutex_;
  std::optional<LogFile> next_file_;
  std::optional<TimePoint> stop_by_;
  uint64_t flush_wanted_ = 0;
  uint64_t flush_done_ = 0;
  std::condition_variable done_;  // a flush, or the next file taken

  // The writer's.
  LogFile file_;
  size_t turn_ = 0;  // whose queue is being written; kept while a line of it is half out
  bool is_mid_line_ = false;
  bool is_torn_ = false;  // the rest of a line was lost: the next one needs a '\n' before it
  int quiet_passes_ = 0;

  std::thread writer_;  // last
};

}  // namespace sluice::observe
