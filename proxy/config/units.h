// Units: how durations, sizes, shares and switches are written in the configuration and on the
// command line, and back. Pure functions; any thread. An error's detail says what would be right.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/values.h"

namespace sluice::config {

// "250us", "250ms", "5s", "2m", "1h", "1d"; "0". At most ten years: adding one never overflows.
Result<Duration> parse_duration(std::string_view text);
// "512", "512B", "16KiB" = "16k" = 16384, "10MB" = 10 000 000; up to TiB. At most 4 EiB.
Result<Bytes> parse_bytes(std::string_view text);
// "20%" → 20; at most 100.
Result<uint32_t> parse_percent(std::string_view text);
// "100/s", "30/m", "500/h"; the burst is left alone.
Result<Rate> parse_rate(std::string_view text);
// on, true, yes; off, false, no.
std::optional<bool> parse_flag(std::string_view text);

// In the largest unit that needs no fraction.
std::string format_duration(Duration duration);
std::string format_bytes(Bytes bytes);
std::string format_rate(const Rate& rate);  // "off" where there is none

}  // namespace sluice::config
