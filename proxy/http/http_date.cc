// The dates of RFC 9110 §5.6.7, by hand: gmtime_r takes glibc's lock on the time zone.
#include <array>
#include <cstring>

#include "proxy/base/assert.h"
#include "proxy/base/text.h"
#include "proxy/http/conditional.h"

namespace sluice::http {
namespace {

constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr std::array<std::string_view, 7> kLongDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};
constexpr int64_t kSecondsADay = 86400;

struct Civil {
  int64_t year = 1970;
  int month = 1;
  int day = 1;
};

// Days since 1970-01-01 in the proleptic Gregorian calendar, and back; eras of 400 years beginning
// in March, so that the leap day is the last of its year.
int64_t days_from_civil(const Civil& c) {
  const int64_t year = c.month <= 2 ? c.year - 1 : c.year;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

Civil civil_from_days(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  Civil c;
  c.day = static_cast<int>(day_of_year - (153 * shifted + 2) / 5 + 1);
  c.month = static_cast<int>(shifted < 10 ? shifted + 3 : shifted - 9);
  c.year = year_of_era + era * 400 + (c.month <= 2 ? 1 : 0);
  return c;
}

void put_digits(char* at, int64_t value, int count) {
  for (int i = count - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

// Takes from the front of a text; `ok` turns false at the first thing that is not as expected.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : left_(text) {}

  int number(size_t digits) {
    if (left_.size() < digits) return fail();
    int value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!is_digit(left_[i])) return fail();
      value = value * 10 + (left_[i] - '0');
    }
    left_.remove_prefix(digits);
    return value;
  }
  // asctime pads the day with a space.
  int padded_day() {
    if (left_.empty() || left_.front() != ' ') return number(2);
    left_.remove_prefix(1);
    return number(1);
  }
  void word(std::string_view expected) {
    if (left_.substr(0, expected.size()) != expected) {
      fail();
    } else {
      left_.remove_prefix(expected.size());
    }
  }
  // Index of a three-letter name.
  int name(std::string_view names) {
    if (left_.size() < 3) return fail();
    for (size_t i = 0; i < names.size(); i += 3) {
      if (names.substr(i, 3) != left_.substr(0, 3)) continue;
      left_.remove_prefix(3);
      return static_cast<int>(i / 3);
    }
    return fail();
  }
  bool is_at_end() const { return ok_ && left_.empty(); }
  bool ok() const { return ok_; }

 private:
  int fail() {
    ok_ = false;
    return 0;
  }
  std::string_view left_;
  bool ok_ = true;
};

struct Moment {
  Civil date;
  int hour = 0, minute = 0, second = 0;
};

void read_clock(DateReader& in, Moment& m) {
  m.hour = in.number(2);
  in.word(":");
  m.minute = in.number(2);
  in.word(":");
  m.second = in.number(2);
}

std::optional<UnixTime> to_unix(const Moment& m) {
  // A leap second is the next minute's first. A day the month has not comes back as another one.
  if (m.hour > 23 || m.minute > 59 || m.second > 60) return std::nullopt;
  const int64_t days = days_from_civil(m.date);
  const Civil back = civil_from_days(days);
  if (back.day != m.date.day || back.month != m.date.month) return std::nullopt;
  return days * kSecondsADay + m.hour * 3600 + m.minute * 60 + m.second;
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
bool read_fixdate(std::string_view text, Moment& m) {
  DateReader in{text};
  in.name(kDays);
  in.word(", ");
  m.date.day = in.number(2);
  in.word(" ");
  m.date.month = in.name(kMonths) + 1;
  in.word(" ");
  m.date.year = in.number(4);
  in.word(" ");
  read_clock(in, m);
  in.word(" GMT");
  return in.is_at_end();
}

// "Sunday, 06-Nov-94 08:49:37 GMT"; more than 50 years ahead means the century before.
bool read_rfc850(std::string_view text, UnixTime now, Moment& m) {
  const auto comma = text.find(',');
  if (comma == std::string_view::npos) return false;
  bool known = false;
  for (const auto day : kLongDays) known = known || day == text.substr(0, comma);
  if (!known) return false;
  DateReader in{text.substr(comma)};
  in.word(", ");
  m.date.day = in.number(2);
  in.word("-");
  m.date.month = in.name(kMonths) + 1;
  in.word("-");
  const int year = in.number(2);
  in.word(" ");
  read_clock(in, m);
  in.word(" GMT");
  const int64_t this_year = civil_from_days(now / kSecondsADay).year;
  m.date.year = this_year - this_year % 100 + year;
  if (m.date.year > this_year + 50) m.date.year -= 100;
  return in.is_at_end();
}

// "Sun Nov  6 08:49:37 1994"
bool read_asctime(std::string_view text, Moment& m) {
  DateReader in{text};
  in.name(kDays);
  in.word(" ");
  m.date.month = in.name(kMonths) + 1;
  in.word(" ");
  m.date.day = in.padded_day();
  in.word(" ");
  read_clock(in, m);
  in.word(" ");
  m.date.year = in.number(4);
  return in.is_at_end();
}

}  // namespace

std::optional<UnixTime> parse_http_date(std::string_view text, UnixTime now) {
  Moment m;
  if (read_fixdate(text, m) || read_rfc850(text, now, m) || read_asctime(text, m))
    return to_unix(m);
  return std::nullopt;
}

void format_http_date(UnixTime time, char* into) {
  const int64_t days = (time >= 0 ? time : time - (kSecondsADay - 1)) / kSecondsADay;
  const int64_t clock = time - days * kSecondsADay;
  const Civil date = civil_from_days(days);
  SLUICE_ASSERT(date.year >= 0 && date.year <= 9999);
  std::memcpy(into, "Thu, 00 Jan 0000 00:00:00 GMT", kHttpDateSize);
  const int64_t weekday = ((days + 4) % 7 + 7) % 7;  // 1970-01-01 was a Thursday
  kDays.copy(into, 3, static_cast<size_t>(weekday) * 3);
  put_digits(into + 5, date.day, 2);
  kMonths.copy(into + 8, 3, static_cast<size_t>(date.month - 1) * 3);
  put_digits(into + 12, date.year, 4);
  put_digits(into + 17, clock / 3600, 2);
  put_digits(into + 20, clock / 60 % 60, 2);
  put_digits(into + 23, clock % 60, 2);
}

}  // namespace sluice::http
