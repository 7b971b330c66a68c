// AccessLogFormatter: a Record as one line of text, either a JSON object or nginx's "combined" with
// the request's and the upstream's seconds at its end. Every field has a ceiling of its own, so a
// line always fits kMostLine. What strangers sent is escaped: a line is valid UTF-8 without control
// characters, whatever came in. One per worker, its thread only; the time of day is spelled once a
// second.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "proxy/base/clock.h"
#include "proxy/observe/record.h"

namespace sluice::observe {

enum class AccessLogFormat : uint8_t { kJson, kCombined, kOff };

class AccessLogFormatter {
 public:
  static constexpr size_t kMostLine = 18 * 1024;

  // Room that is certainly enough for the record's line, never above kMostLine.
  static size_t room_for(const Record& record);

  // Writes the line, its '\n' included, and returns its end.
  // Requires: room_for(record) bytes at `at`; format is not kOff.
  char* format(const Record& record, AccessLogFormat format, char* at);

 private:
  void spell(WallTime second);
  char* json(const Record& record, int milliseconds, char* at) const;
  char* combined(const Record& record, char* at) const;

  WallTime spelled_{WallTime::min()};  // the second the two texts below stand for
  std::array<char, 19> rfc3339_{};     // 2026-01-02T03:04:05
  std::array<char, 26> common_{};      // 02/Jan/2026:03:04:05 +0000
};

}  // namespace sluice::observe
