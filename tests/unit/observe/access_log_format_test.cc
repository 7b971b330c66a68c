#include "proxy/observe/access_log_format.h"

#include <chrono>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/observe/utf8.h"

namespace sluice::observe {
namespace {

using namespace std::chrono_literals;

// 2026-01-02T03:04:05.678Z
constexpr WallTime kNow{std::chrono::duration_cast<WallTime::duration>(1767323045678ms)};

// The line, checked not to leave the room it asked for.
std::string line_of(const Record& record, AccessLogFormat format = AccessLogFormat::kJson) {
  const size_t room = AccessLogFormatter::room_for(record);
  REQUIRE(room <= AccessLogFormatter::kMostLine);
  constexpr size_t kGuard = 64;
  std::string memory(room + kGuard, '~');
  AccessLogFormatter formatter;
  const char* const end = formatter.format(record, format, memory.data());
  const auto size = static_cast<size_t>(end - memory.data());
  REQUIRE(size <= room);
  CHECK(memory.substr(room) == std::string(kGuard, '~'));
  return memory.substr(0, size);
}

Record small() {
  Record record;
  record.client = "192.0.2.7";
  record.method = "GET";
  record.host = "example.com";
  record.target = "/a?b=c";
  record.protocol = "HTTP/1.1";
  record.scheme = "https";
  record.status = 200;
  record.bytes_out = 12;
  record.started = kNow;
  record.total = 1234567us;
  return record;
}

bool is_utf8_without_controls(std::string_view text) {
  for (const char *at = text.data(), *end = at + text.size(); at != end;) {
    const size_t size = utf8_length(at, end);
    if (size == 0 || static_cast<uint8_t>(*at) < 0x20 || *at == 0x7f) return false;
    at += size;
  }
  return true;
}

TEST_CASE("access log: a small record is a small JSON line, empty fields left out") {
  CHECK(line_of(small()) ==
        R"({"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.7","method":"GET",)"
        R"("host":"example.com","target":"/a?b=c","protocol":"HTTP/1.1","scheme":"https",)"
        R"("status":200,"bytes_in":0,"bytes_out":12,"duration":1.235})"
        "\n");
}

TEST_CASE("access log: what a PROXY header said beside the address") {
  Record record = small();
  const ProxyWords nothing;
  record.proxied = &nothing;
  CHECK(line_of(record).find("proxy_") == std::string::npos);
  const ProxyWords words{"vpce-1", "id\"", "shop.example", "h2", "TLSv1.3"};
  record.proxied = &words;
  CHECK(line_of(record).find(R"("proxy_vpc_endpoint":"vpce-1","proxy_unique_id":"id\"",)"
                             R"("proxy_authority":"shop.example","proxy_alpn":"h2",)"
                             R"("proxy_tls":"TLSv1.3"})") != std::string::npos);
  const std::string most(128, '"');
  const ProxyWords full{most, most, most, most, most};
  record.proxied = &full;
  CHECK(line_of(record).find("\"truncated\":true") != std::string::npos);
}

TEST_CASE("access log: a full record has every field in its place") {
  Record record = small();
  record.peer = "10.0.0.1";
  record.reason = "upstream_timeout";
  record.route = "r";
  record.upstream = "django";
  record.endpoint = "127.0.0.1:8000";
  record.upstream_status = 504;
  record.attempts = 2;
  record.bytes_in = 3;
  record.queued = 0ms;
  record.connect = 1ms;
  record.first_byte = 499us;
  record.upstream_total = 61s;
  record.request_id = "id";
  record.trace_id = "Root=1-2";
  record.referer = "https://example.com/";
  record.user_agent = "curl/8";
  CHECK(
      line_of(record) ==
      R"({"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.7","peer":"10.0.0.1","method":"GET",)"
      R"("host":"example.com","target":"/a?b=c","protocol":"HTTP/1.1","scheme":"https",)"
      R"("status":200,"reason":"upstream_timeout","route":"r","upstream":"django",)"
      R"("endpoint":"127.0.0.1:8000","upstream_status":504,"attempts":2,"bytes_in":3,)"
      R"("bytes_out":12,"duration":1.235,"queued":0.000,"connect":0.001,"first_byte":0.000,)"
      R"("upstream_duration":61.000,"request_id":"id","trace_id":"Root=1-2",)"
      R"("referer":"https://example.com/","user_agent":"curl/8"})"
      "\n");
}

TEST_CASE("access log: combined is what nginx writes, then the two durations") {
  Record record = small();
  record.user_agent = "a \"b\" \\ \x1b[31m \xff\n";
  CHECK(line_of(record, AccessLogFormat::kCombined) ==
        "192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"-\" "
        "\"a \\x22b\\x22 \\x5c \\x1b[31m \\xff\\x0a\" 1.235 -\n");
  record.upstream_total = 5ms;
  record.user_agent = "x";
  record.method = "";
  CHECK(line_of(record, AccessLogFormat::kCombined) ==
        "192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] \"-\" 200 12 \"-\" \"x\" 1.235 0.005\n");
}

TEST_CASE("access log: JSON escapes what may not stand, and only that") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain text of more than eight bytes", "plain text of more than eight bytes"},
      {"\"\\/", "\\\"\\\\/"},
      {std::string("\0\t\n\r\x1f\x7f", 6), R"(\u0000\u0009\u000a\u000d\u001f\u007f)"},
      {"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"\xff", R"(\u00ff)"},
      {"\xc3", R"(\u00c3)"},  // cut off
      {"\xc3(", R"(\u00c3()"},
      {"\xc0\xaf", R"(\u00c0\u00af)"},                      // overlong
      {"\xe0\x80\x80", R"(\u00e0\u0080\u0080)"},            // overlong
      {"\xed\xa0\x80", R"(\u00ed\u00a0\u0080)"},            // a surrogate
      {"\xf4\x90\x80\x80", R"(\u00f4\u0090\u0080\u0080)"},  // above U+10FFFF
      {"\xc2\x9b", R"(\u009b)"},                            // CSI, which terminals obey
      {"\xc2\xa0", "\xc2\xa0"},
  };
  for (const auto& [raw, escaped] : cases) {
    // At every distance from the words the text is copied by.
    for (size_t before = 0; before < 9; ++before) {
      for (size_t after = 0; after < 9; ++after) {
        const std::string agent = std::string(before, 'b') + raw + std::string(after, 'a');
        Record record = small();
        record.user_agent = agent;
        const std::string expected = std::string(before, 'b') + escaped + std::string(after, 'a');
        const std::string line = line_of(record);
        CHECK(line.find("\"user_agent\":\"" + expected + "\"}\n") != std::string::npos);
      }
    }
  }
}

TEST_CASE("access log: each single byte gives a line of text") {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string target = "/1234567" + std::string(1, static_cast<char>(byte)) + "89012345";
    Record record = small();
    record.target = target;
    const std::string json = line_of(record);
    CHECK(is_utf8_without_controls(json.substr(0, json.size() - 1)));
    const std::string combined = line_of(record, AccessLogFormat::kCombined);
    CHECK(is_utf8_without_controls(combined.substr(0, combined.size() - 1)));
  }
}

TEST_CASE("access log: a line has a ceiling, whatever was sent") {
  for (const std::string& much : {std::string(70000, 'x'), std::string(70000, '\x01'),
                                  std::string(70000, '"'), std::string(2800, '\xfe')}) {
    Record record;
    record.client = record.peer = record.method = record.host = record.target = much;
    record.protocol = record.scheme = record.request_id = record.trace_id = much;
    record.referer = record.user_agent = record.reason = much;
    record.route = record.upstream = record.endpoint = much;
    constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
    record.bytes_in = record.bytes_out = kMost;
    record.attempts = std::numeric_limits<uint32_t>::max();
    record.status = record.upstream_status = std::numeric_limits<int>::max();
    record.total = record.queued = record.connect = Duration::max() - 1s;
    record.first_byte = record.upstream_total = Duration::max() - 1s;
    const std::string line = line_of(record);
    CHECK(line.substr(line.size() - 19) == ",\"truncated\":true}\n");
    CHECK(line_of(record, AccessLogFormat::kCombined).back() == '\n');
  }
}

TEST_CASE("access log: the frame fits its room when the texts are short") {
  Record record;
  for (auto* text :
       {&record.client, &record.peer, &record.method, &record.host, &record.target,
        &record.protocol, &record.scheme, &record.request_id, &record.trace_id, &record.referer,
        &record.user_agent, &record.reason, &record.route, &record.upstream, &record.endpoint}) {
    *text = "\xff";
  }
  record.bytes_in = record.bytes_out = std::numeric_limits<uint64_t>::max();
  record.attempts = std::numeric_limits<uint32_t>::max();
  record.status = record.upstream_status = std::numeric_limits<int>::max();
  record.total = record.queued = record.connect = Duration::max() - 1s;
  record.first_byte = record.upstream_total = Duration::max() - 1s;
  CHECK(line_of(record).back() == '\n');
}

TEST_CASE("access log: the time is spelled anew when the second changes") {
  AccessLogFormatter formatter;
  std::string memory(AccessLogFormatter::kMostLine, ' ');
  const auto time_of = [&](WallTime at) {
    Record record = small();
    record.started = at;
    formatter.format(record, AccessLogFormat::kJson, memory.data());
    return memory.substr(9, 24);
  };
  CHECK(time_of(kNow) == "2026-01-02T03:04:05.678Z");
  CHECK(time_of(kNow + 321ms) == "2026-01-02T03:04:05.999Z");
  CHECK(time_of(kNow + 322ms) == "2026-01-02T03:04:06.000Z");
  CHECK(time_of(kNow) == "2026-01-02T03:04:05.678Z");
  CHECK(time_of(WallTime{}) == "1970-01-01T00:00:00.000Z");
  CHECK(time_of(WallTime{} - 1ms) == "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace sluice::observe
