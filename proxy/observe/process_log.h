// ProcessLog: what the program says about itself: starts, reloads, endpoints that fail. One line
// each, "2026-01-02T03:04:05.678Z warning text", written by a thread of its own; when its queue is
// full the oldest lines are lost and counted, so nobody waits. The only user of spdlog. Made in
// main, passed by reference, destroyed last. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace sluice::observe {

enum class Severity : uint8_t { kDebug, kInfo, kWarning, kError };

struct ProcessLogOptions {
  std::string path = "/dev/stderr";
  Severity level = Severity::kInfo;
};

class ProcessLog {
 public:
  static Result<std::unique_ptr<ProcessLog>> open(ProcessLogOptions options);
  ~ProcessLog();  // writes what waits, unless its reader is stuck

  // Worth formatting a text for?
  bool is_on(Severity severity) const;
  void debug(std::string_view text) { say(Severity::kDebug, text); }
  void info(std::string_view text) { say(Severity::kInfo, text); }
  void warning(std::string_view text) { say(Severity::kWarning, text); }
  void error(std::string_view text) { say(Severity::kError, text); }
  void say(Severity severity, std::string_view text);

  // At most a line a second for each key ("connect 127.0.0.1:8000"); the next one says how many
  // were left out. For what may happen once per request. Keys beyond a ceiling share one allowance.
  void limited(Severity severity, std::string_view key, std::string_view text) {
    limited(severity, key, text, steady_now());
  }
  void limited(Severity severity, std::string_view key, std::string_view text, TimePoint now);

  void set_level(Severity level);
  Status reopen();
  // A reload: another path or level. On failure all stays as it was.
  Status apply(const ProcessLogOptions& options);
  // Lines lost to a full queue or a file that took none.
  uint64_t lost() const;

 private:
  struct Core;
  explicit ProcessLog(std::unique_ptr<Core> core);

  const std::unique_ptr<Core> core_;
};

}  // namespace sluice::observe
