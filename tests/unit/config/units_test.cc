#include "proxy/config/units.h"

#include <string>

#include <doctest/doctest.h>

namespace sluice::config {
using namespace std::chrono_literals;

TEST_CASE("units: durations take a whole number and a unit") {
  CHECK(parse_duration("250ms") == Duration{250ms});
  CHECK(parse_duration("5s") == Duration{5s});
  CHECK(parse_duration("2m") == Duration{2min});
  CHECK(parse_duration("1h") == Duration{1h});
  CHECK(parse_duration("1d") == Duration{24h});
  CHECK(parse_duration("10us") == Duration{10us});
  CHECK(parse_duration("0") == Duration{0});
  CHECK(parse_duration("5 s") == Duration{5s});
}

TEST_CASE("units: a duration without a unit is refused, and the message shows the right one") {
  const auto bare = parse_duration("30");
  REQUIRE_FALSE(bare);
  CHECK(bare.error().detail == "\"30\" lacks a unit; write 30s or 30ms (also m, h, d)");
  for (const std::string wrong : {"", "s", "-1s", "1.5s", "5 sec", "5S", "1m30s", "3651d",
                                  "99999999999999999999s", "18446744073709551615ns"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_duration(wrong));
  }
}

TEST_CASE("units: rates are so many a second, minute or hour") {
  CHECK(parse_rate("100/s") == Rate{100, 1s, 0});
  CHECK(parse_rate("30/m") == Rate{30, 1min, 0});
  CHECK(parse_rate("500/h") == Rate{500, 1h, 0});
  CHECK(format_rate({100, 1s, 7}) == "100/s");
  CHECK(format_rate({30, 1min, 0}) == "30/m");
  CHECK(format_rate({500, 1h, 0}) == "500/h");
  CHECK(format_rate(Rate{}) == "off");
  for (const std::string wrong :
       {"", "100", "/s", "100/", "0/s", "-1/s", "1.5/s", "5/d", "5/ms", "1000001/s", "5/s/s"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_rate(wrong));
  }
}

TEST_CASE("units: sizes are binary with KiB or k, decimal with KB") {
  CHECK(parse_bytes("512") == 512_B);
  CHECK(parse_bytes("512B") == 512_B);
  CHECK(parse_bytes("16KiB") == 16_KiB);
  CHECK(parse_bytes("64k") == 64_KiB);
  CHECK(parse_bytes("1m") == 1_MiB);
  CHECK(parse_bytes("1GiB") == 1_GiB);
  CHECK(parse_bytes("2TiB") == 2048_GiB);
  CHECK(parse_bytes("10MB") == 10'000'000_B);
  CHECK(parse_bytes("3kb") == 3000_B);
  for (const std::string wrong : {"", "KiB", "-1", "1.5MB", "16 KiB s", "1PiB", "99999999999TiB"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_bytes(wrong));
  }
}

TEST_CASE("units: a share needs its percent sign and ends at 100") {
  CHECK(parse_percent("20%") == 20u);
  CHECK(parse_percent("0%") == 0u);
  CHECK(parse_percent("100%") == 100u);
  for (const std::string wrong : {"20", "101%", "-1%", "%", "0.2"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_percent(wrong));
  }
}

TEST_CASE("units: switches") {
  for (const char* yes : {"on", "true", "yes", "ON", "True"}) CHECK(parse_flag(yes) == true);
  for (const char* no : {"off", "false", "no", "Off"}) CHECK(parse_flag(no) == false);
  for (const std::string wrong : {"", "1", "0", "o", "enabled"}) CHECK_FALSE(parse_flag(wrong));
}

TEST_CASE("units: what is printed reads back as the same") {
  for (const Duration d :
       {Duration{0}, Duration{1}, Duration{1500ms}, Duration{90s}, Duration{48h}}) {
    CHECK(parse_duration(format_duration(d)) == d);
  }
  for (const Bytes b : {0_B, 1_B, 1023_B, 1024_B, 1536_B, 10'000'000_B, 3_GiB, 5000_GiB}) {
    CHECK(parse_bytes(format_bytes(b)) == b);
  }
  CHECK(format_duration(90s) == "90s");
  CHECK(format_duration(120s) == "2m");
  CHECK(format_bytes(64_KiB) == "64KiB");
  CHECK(format_bytes(1000_B) == "1000");
}

}  // namespace sluice::config
