#include "proxy/observe/process_log.h"

#include <chrono>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "proxy/base/fd.h"
#include "tests/unit/observe/scratch.h"

namespace sluice::observe {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<ProcessLog> open_log(const std::string& path, Severity level = Severity::kInfo) {
  auto log = ProcessLog::open({path, level});
  REQUIRE(log);
  return std::move(*log);
}

TEST_CASE("process log: a line has a time, a severity and its text") {
  Scratch scratch;
  auto log = open_log(scratch / "log");
  log->warning("endpoint 127.0.0.1:8000 is {down}");
  log.reset();
  const std::string text = contents(scratch / "log");
  REQUIRE(text.size() > 25);
  CHECK(text.substr(4, 1) == "-");
  CHECK(text.substr(10, 1) == "T");
  CHECK(text.substr(23) == "Z warning endpoint 127.0.0.1:8000 is {down}\n");
}

TEST_CASE("process log: the level decides, and may change") {
  Scratch scratch;
  auto log = open_log(scratch / "log", Severity::kWarning);
  CHECK_FALSE(log->is_on(Severity::kInfo));
  log->info("quiet");
  log->error("loud");
  log->set_level(Severity::kDebug);
  log->debug("whisper");
  log.reset();
  const std::string text = contents(scratch / "log");
  CHECK(count(text, "quiet") == 0);
  CHECK(count(text, " error loud\n") == 1);
  CHECK(count(text, " debug whisper\n") == 1);
}

TEST_CASE("process log: what a client sent cannot start a line of its own") {
  Scratch scratch;
  auto log = open_log(scratch / "log");
  log->error("bad path \"/\n2026 error fake\x1b[0m\x7f\"");
  log->error(std::string(100000, 'x'));
  log.reset();
  const std::string text = contents(scratch / "log");
  CHECK(count(text, "\n") == 2);
  CHECK(count(text, "\"/\\x0a2026 error fake\\x1b[0m\\x7f\"") == 1);
  CHECK(text.size() < 6000);
}

TEST_CASE("process log: a key speaks once a second and then says what it kept to itself") {
  Scratch scratch;
  auto log = open_log(scratch / "log");
  const TimePoint start{1000s};
  for (int i = 0; i < 5; ++i) log->limited(Severity::kError, "a", "a fails", start + i * 100ms);
  log->limited(Severity::kError, "b", "b fails", start);
  log->limited(Severity::kError, "a", "a fails", start + 1s);
  log->limited(Severity::kError, "a", "a fails", start + 2s);
  log.reset();
  const std::string text = contents(scratch / "log");
  CHECK(count(text, "a fails\n") == 2);
  CHECK(count(text, "a fails (4 suppressed)\n") == 1);
  CHECK(count(text, "b fails\n") == 1);
}

TEST_CASE("process log: too many keys share one allowance, until the old ones are over") {
  Scratch scratch;
  auto log = open_log(scratch / "log");
  const TimePoint start{1000s};
  const auto key = [](int i) { return "k" + std::to_string(i); };
  for (int i = 0; i < 256; ++i) log->limited(Severity::kDebug, key(i), "off", start);
  log->set_level(Severity::kError);
  // The queue holds as many lines as there are keys: only the shared ones are let through here.
  for (int i = 0; i < 256; ++i) log->limited(Severity::kError, key(i), "first", start);
  for (int i = 256; i < 300; ++i) log->limited(Severity::kError, key(i), "shared", start);
  for (int i = 256; i < 260; ++i) log->limited(Severity::kError, key(i), "anew", start + 2s);
  const uint64_t lost = log->lost();
  log.reset();
  const std::string text = contents(scratch / "log");
  CHECK(count(text, "off") == 0);
  CHECK(count(text, "shared") <= 1);
  CHECK(count(text, "\n") + lost == 256 + 1 + 4);
}

TEST_CASE("process log: reopening follows a file that was moved away; a reload may move it") {
  Scratch scratch;
  const std::string path = scratch / "log";
  auto log = open_log(path);
  std::filesystem::rename(path, path + ".1");
  REQUIRE(log->reopen());
  log->info("anew");
  REQUIRE_FALSE(log->apply({"/no/such/folder/log", Severity::kError}));
  CHECK(log->is_on(Severity::kInfo));
  log.reset();
  CHECK(count(contents(path), "anew\n") == 1);

  log = open_log(path);
  REQUIRE(log->apply({scratch / "b", Severity::kError}));
  log->info("quiet");
  log->error("moved");
  log.reset();
  CHECK(count(contents(scratch / "b"), "\n") == 1);
}

TEST_CASE("process log: a stuck reader costs lines and a second, not a caller's time") {
  Scratch scratch;
  const std::string path = scratch / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  auto log = open_log(path);
  ::fcntl(reader.get(), F_SETPIPE_SZ, 4096);
  const TimePoint before = steady_now();
  for (int i = 0; i < 1000; ++i) log->error(std::string(2000, 'x'));
  CHECK(steady_now() - before < 9s);  // and not a second for each line
  CHECK(log->lost() > 0);
  log.reset();
  CHECK(steady_now() - before < 20s);
}

TEST_CASE("process log: a full disk costs lines, which are counted") {
  auto log = open_log("/dev/full");
  log->error("nowhere to go");
  const TimePoint before = steady_now();
  while (log->lost() == 0 && steady_now() - before < 10s) std::this_thread::yield();
  CHECK(log->lost() == 1);
}

}  // namespace
}  // namespace sluice::observe
