#include "proxy/config/units.h"

#include <array>

#include <fmt/format.h>

#include "proxy/base/text.h"

namespace sluice::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// Largest first: formatting takes the first that divides.
constexpr std::array kTimes = {
    Unit{"d", 86'400'000'000'000}, Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000},
    Unit{"s", 1'000'000'000},      Unit{"ms", 1'000'000},        Unit{"us", 1'000},
    Unit{"ns", 1}};
constexpr std::array kSizes = {
    Unit{"TiB", 1ULL << 40}, Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20},
    Unit{"KiB", 1ULL << 10}, Unit{"TB", 1'000'000'000'000}, Unit{"GB", 1'000'000'000},
    Unit{"MB", 1'000'000},   Unit{"KB", 1'000},       Unit{"T", 1ULL << 40},
    Unit{"G", 1ULL << 30},   Unit{"M", 1ULL << 20},   Unit{"K", 1ULL << 10},
    Unit{"B", 1}};
constexpr size_t kExactSizes = 4;  // the binary ones are printed

constexpr uint64_t kMostRate = 1'000'000;
constexpr uint64_t kLongest = 3650 * kTimes[0].factor;
constexpr uint64_t kLargest = 1ULL << 62;

tl::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(detail));
}

struct Quantity {
  std::optional<uint64_t> number;
  std::string_view unit;
};

Quantity take_apart(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  return {parse_decimal(text.substr(0, digits)), trim_ows(text.substr(digits))};
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto [number, unit] = take_apart(text);
  if (!number) {
    return wrong(fmt::format("\"{}\" is no duration; write a whole number and a unit: 250ms, 5s, "
                             "2m, 1h, 1d", text));
  }
  if (unit.empty() && *number == 0) return Duration{0};
  if (unit.empty()) {
    return wrong(fmt::format("\"{0}\" lacks a unit; write {0}s or {0}ms (also m, h, d)", text));
  }
  for (const auto& [name, factor] : kTimes) {
    if (unit != name) continue;
    if (*number > kLongest / factor) return wrong("is too long; ten years (3650d) is the most");
    return Duration{static_cast<int64_t>(*number * factor)};
  }
  return wrong(fmt::format("\"{}\" is no unit of time; write ms, s, m, h or d, as in 250ms", unit));
}

Result<Bytes> parse_bytes(std::string_view text) {
  const auto [number, unit] = take_apart(text);
  if (!number) {
    return wrong(fmt::format("\"{}\" is no size; write a whole number, with a unit or in bytes: "
                             "512, 16KiB, 10MB, 1GiB", text));
  }
  uint64_t factor = unit.empty() ? 1 : 0;
  for (const auto& size : kSizes) {
    if (factor == 0 && iequals(unit, size.name)) factor = size.factor;
  }
  if (factor == 0) {
    return wrong(fmt::format("\"{}\" is no unit of size; write KiB, MiB, GiB, as in 16KiB", unit));
  }
  if (*number > kLargest / factor) return wrong("is too large");
  return Bytes{*number * factor};
}

Result<uint32_t> parse_percent(std::string_view text) {
  const auto [number, unit] = take_apart(text);
  if (!number || unit != "%" || *number > 100) {
    return wrong(fmt::format("\"{}\" is no share; write 0% to 100%, as in 20%", text));
  }
  return static_cast<uint32_t>(*number);
}

Result<Rate> parse_rate(std::string_view text) {
  const size_t slash = text.find('/');
  const auto count = parse_decimal(text.substr(0, slash));
  const auto unit = slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
  Rate rate;
  for (const auto& [name, factor] : kTimes) {
    if (name == unit && (name == "s" || name == "m" || name == "h")) {
      rate.per = Duration{static_cast<int64_t>(factor)};
      if (count && *count > 0 && *count <= kMostRate) {
        rate.count = static_cast<uint32_t>(*count);
        return rate;
      }
    }
  }
  return wrong(fmt::format("\"{}\" is no rate; write so many a second, minute or hour, as in "
                           "100/s, 30/m, 500/h, at most {} of them",
                           text, kMostRate));
}

std::string format_rate(const Rate& rate) {
  if (rate.count == 0) return "off";
  if (rate.per == std::chrono::seconds(1)) return fmt::format("{}/s", rate.count);
  return fmt::format("{}/{}", rate.count, rate.per == std::chrono::minutes(1) ? "m" : "h");
}

std::optional<bool> parse_flag(std::string_view text) {
  for (const auto* yes : {"on", "true", "yes"}) {
    if (iequals(text, yes)) return true;
  }
  for (const auto* no : {"off", "false", "no"}) {
    if (iequals(text, no)) return false;
  }
  return std::nullopt;
}

std::string format_duration(Duration duration) {
  const auto count = static_cast<uint64_t>(duration.count());
  if (count == 0) return "0s";
  for (const auto& [name, factor] : kTimes) {
    if (count % factor == 0) return fmt::format("{}{}", count / factor, name);
  }
  return {};  // not reached: a nanosecond divides
}

std::string format_bytes(Bytes bytes) {
  for (size_t i = 0; i < kExactSizes && bytes.count != 0; ++i) {
    if (bytes.count % kSizes[i].factor == 0) {
      return fmt::format("{}{}", bytes.count / kSizes[i].factor, kSizes[i].name);
    }
  }
  return fmt::format("{}", bytes.count);
}

}  // namespace sluice::config
