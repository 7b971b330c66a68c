#include "proxy/observe/access_log.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/unit/observe/scratch.h"

namespace sluice::observe {
namespace {

using namespace std::chrono_literals;

Record record_for(std::string_view target) {
  Record record;
  record.method = "GET";
  record.target = target;
  record.protocol = "HTTP/1.1";
  record.status = 200;
  return record;
}

std::unique_ptr<AccessLog> open_log(const std::string& path, size_t workers = 1,
                                    Bytes buffer = 1_MiB) {
  auto log = AccessLog::open({AccessLogFormat::kJson, path, buffer}, workers);
  REQUIRE(log);
  return std::move(*log);
}

TEST_CASE("access log: lines reach the file, in order") {
  Scratch scratch;
  auto log = open_log(scratch / "log");
  for (int i = 0; i < 3; ++i) log->queue(0).add(record_for("/" + std::to_string(i)));
  REQUIRE(log->flush(10s));
  const std::string text = contents(scratch / "log");
  CHECK(count(text, "\n") == 3);
  CHECK(text.find("\"/0\"") < text.find("\"/1\""));
  CHECK(text.find("\"/1\"") < text.find("\"/2\""));
  CHECK(log->lost() == 0);
}

TEST_CASE("access log: a line reaches the file without being asked for, also after a rest") {
  Scratch scratch;
  const std::string path = scratch / "log";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  auto log = open_log(path);
  char text[4096];
  for (int i = 0; i < 3; ++i) {
    log->queue(0).add(record_for("/x"));
    pollfd readable{reader.get(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 10000) == 1);
    const ssize_t size = ::read(reader.get(), text, sizeof text);
    REQUIRE(size > 0);
    CHECK(text[size - 1] == '\n');
    // Nothing more comes, long enough for the writer to sleep until it is rung.
    CHECK(::poll(&readable, 1, 250) == 0);
  }
}

TEST_CASE("access log: many lines of several workers all arrive, none torn") {
  Scratch scratch;
  constexpr int kLines = 20000;
  auto log = open_log(scratch / "log", 2, 64_MiB);
  {
    std::jthread one([&] {
      for (int i = 0; i < kLines; ++i) log->queue(0).add(record_for("/one"));
    });
    std::jthread two([&] {
      for (int i = 0; i < kLines; ++i) log->queue(1).add(record_for("/two"));
    });
  }
  log->close(10s);
  CHECK(log->lost() == 0);
  const std::string text = contents(scratch / "log");
  CHECK(count(text, "}\n") == 2 * kLines);
  CHECK(count(text, "\"target\":\"/one\",\"protocol\":\"HTTP/1.1\"") == kLines);
  CHECK(count(text, "\"target\":\"/two\",\"protocol\":\"HTTP/1.1\"") == kLines);
}

TEST_CASE("access log: a pipe nobody empties costs lines, which are counted, and no line is torn") {
  Scratch scratch;
  const std::string path = scratch / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  REQUIRE(::fcntl(reader.get(), F_SETPIPE_SZ, 4096) == 4096);  // less than the queue holds
  auto log = open_log(path, 1, 64_KiB);
  constexpr uint64_t kLines = 5000;
  for (uint64_t i = 0; i < kLines; ++i) log->queue(0).add(record_for(std::string(300, 'x')));
  CHECK(log->lost() > 0);
  CHECK_FALSE(log->flush(1ms));

  std::string text;
  std::jthread closer([&] { log->close(10s); });
  pollfd readable{reader.get(), POLLIN, 0};
  while (::poll(&readable, 1, 10000) == 1) {
    char part[8192];
    const ssize_t size = ::read(reader.get(), part, sizeof part);
    if (size <= 0) break;
    text.append(part, static_cast<size_t>(size));
    if (text.size() >= 64 * 1024 && count(text, "\n") + log->lost() == kLines) break;
  }
  closer.join();
  CHECK(count(text, "\n") + log->lost() == kLines);
  CHECK(count(text, "{\"time\"") == count(text, "}\n"));
  CHECK(text.back() == '\n');
}

TEST_CASE("access log: closing ends in time when the reader is stuck, and counts what is lost") {
  Scratch scratch;
  const std::string path = scratch / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  auto log = open_log(path);
  ::fcntl(reader.get(), F_SETPIPE_SZ, 4096);
  for (int i = 0; i < 100; ++i) log->queue(0).add(record_for(std::string(500, 'x')));
  log->close(20ms);
  char part[4096];
  const ssize_t size = ::read(reader.get(), part, sizeof part);
  REQUIRE(size > 0);
  CHECK(count(std::string(part, static_cast<size_t>(size)), "\n") + log->lost() == 100);
}

TEST_CASE("access log: a reader that went away costs lines, not the process") {
  Scratch scratch;
  const std::string path = scratch / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  auto log = open_log(path);
  reader.reset();
  log->queue(0).add(record_for("/"));
  REQUIRE(log->flush(10s));
  CHECK(log->lost() == 1);
  CHECK(log->last_error() == EPIPE);
}

TEST_CASE("access log: a pipe may be opened before its reader comes") {
  Scratch scratch;
  const std::string path = scratch / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  auto log = open_log(path);
  log->queue(0).add(record_for("/early"));
  REQUIRE(log->flush(10s));
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  char part[4096];
  CHECK(::read(reader.get(), part, sizeof part) > 0);
  CHECK(log->lost() == 0);
}

TEST_CASE("access log: a full disk costs lines, which are counted") {
  auto log = open_log("/dev/full");
  for (int i = 0; i < 10; ++i) log->queue(0).add(record_for("/"));
  REQUIRE(log->flush(10s));
  CHECK(log->lost() == 10);
  CHECK(log->last_error() == ENOSPC);
}

TEST_CASE(
    "access log: after a line was cut by a full disk the next one starts on a line of its own") {
  Scratch scratch;
  auto log = open_log(scratch / "log");
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const rlimit small{100, old.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  log->queue(0).add(record_for("/cut"));
  const bool flushed = log->flush(10s);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  REQUIRE(flushed);
  CHECK(log->lost() == 1);
  log->queue(0).add(record_for("/whole"));
  REQUIRE(log->flush(10s));
  const std::string text = contents(scratch / "log");
  REQUIRE(text.size() > 101);
  CHECK(text[100] == '\n');
  CHECK(text.substr(101, 8) == "{\"time\":");
  CHECK(count(text, "\"/whole\"") == 1);
  CHECK(count(text, "\n") == 2);
  CHECK(log->lost() == 1);
}

TEST_CASE("access log: reopening follows a file that was moved away") {
  Scratch scratch;
  const std::string path = scratch / "log";
  auto log = open_log(path);
  log->queue(0).add(record_for("/old"));
  REQUIRE(log->flush(10s));
  std::filesystem::rename(path, path + ".1");
  log->queue(0).add(record_for("/late"));
  REQUIRE(log->reopen());
  REQUIRE(log->flush(10s));
  log->queue(0).add(record_for("/new"));
  REQUIRE(log->flush(10s));
  CHECK(count(contents(path + ".1"), "/old") == 1);
  CHECK(count(contents(path + ".1"), "/late") == 1);
  CHECK(count(contents(path), "/new") == 1);
  CHECK(count(contents(path), "\n") == 1);
}

TEST_CASE("access log: reopening away from a stuck pipe loses the half line only") {
  Scratch scratch;
  const std::string pipe = scratch / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const Fd reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
  auto log = open_log(pipe);
  ::fcntl(reader.get(), F_SETPIPE_SZ, 4096);
  for (int i = 0; i < 30; ++i) log->queue(0).add(record_for(std::string(500, 'x')));
  CHECK_FALSE(log->flush(50ms));
  const std::string file = scratch / "log";
  REQUIRE(log->apply({AccessLogFormat::kJson, file, 1_MiB}));
  REQUIRE(log->flush(10s));
  char part[4096];
  const ssize_t size = ::read(reader.get(), part, sizeof part);
  REQUIRE(size > 0);
  const size_t in_pipe = count(std::string(part, static_cast<size_t>(size)), "\n");
  const std::string text = contents(file);
  CHECK(in_pipe + count(text, "\n") + log->lost() == 30);
  CHECK(text.substr(0, 8) == "{\"time\":");
  CHECK(count(text, "{\"time\"") == count(text, "\n"));
}

TEST_CASE("access log: a reload changes format and path, or nothing at all") {
  Scratch scratch;
  auto log = open_log(scratch / "a");
  CHECK_FALSE(log->apply({AccessLogFormat::kCombined, scratch / "no/such/folder", 1_MiB}));
  log->queue(0).add(record_for("/a"));
  REQUIRE(log->apply({AccessLogFormat::kCombined, scratch / "b", 1_MiB}));
  log->queue(0).add(record_for("/b"));
  REQUIRE(log->apply({AccessLogFormat::kOff, "", 1_MiB}));
  log->queue(0).add(record_for("/c"));
  REQUIRE(log->flush(10s));
  CHECK(count(contents(scratch / "a") + contents(scratch / "b"), "\n") == 2);
  CHECK(count(contents(scratch / "b"), "] \"GET /b HTTP/1.1\" 200") == 1);
  REQUIRE(log->apply({AccessLogFormat::kJson, scratch / "d", 1_MiB}));
  log->queue(0).add(record_for("/d"));
  REQUIRE(log->flush(10s));
  CHECK(count(contents(scratch / "d"), "\n") == 1);
  CHECK(log->lost() == 0);
}

TEST_CASE("access log: an off log can be turned on") {
  Scratch scratch;
  auto log = AccessLog::open({AccessLogFormat::kOff, "/no/such/file", 1_MiB}, 1);
  REQUIRE(log);
  (*log)->queue(0).add(record_for("/x"));
  REQUIRE((*log)->reopen());
  REQUIRE((*log)->apply({AccessLogFormat::kJson, scratch / "log", 1_MiB}));
  (*log)->queue(0).add(record_for("/y"));
  REQUIRE((*log)->flush(10s));
  CHECK(count(contents(scratch / "log"), "\n") == 1);
}

TEST_CASE("access log: a path that cannot be opened is an error") {
  const auto log = AccessLog::open({AccessLogFormat::kJson, "/no/such/folder/log", 1_MiB}, 1);
  REQUIRE_FALSE(log);
  CHECK(log.error().detail.find("/no/such/folder/log") != std::string::npos);
}

TEST_CASE("access log: /dev/stdout works where it cannot be opened, on a socket") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const Fd ours(pair[0]);
  Fd theirs(pair[1]);
  const Fd saved(::dup(1));
  REQUIRE(::dup2(theirs.get(), 1) == 1);
  theirs.reset();
  auto log = AccessLog::open({AccessLogFormat::kJson, "/dev/stdout", 1_MiB}, 1);
  REQUIRE(::dup2(saved.get(), 1) == 1);
  REQUIRE(log);
  (*log)->queue(0).add(record_for("/socket"));
  REQUIRE((*log)->flush(10s));
  char part[4096];
  const ssize_t size = ::read(ours.get(), part, sizeof part);
  REQUIRE(size > 0);
  CHECK(count(std::string(part, static_cast<size_t>(size)), "/socket") == 1);
}

TEST_CASE("access log: a queue reuses its memory and keeps every line") {
  Bell bell;
  AccessLogQueue queue(bell, AccessLogFormatter::kMostLine, 3);
  const std::string target(1000, 't');
  uint64_t added = 0;
  uint64_t seen = 0;
  const auto read_all = [&] {
    for (auto lines = queue.front(); !lines.empty(); lines = queue.front()) {
      for (const char c : lines) seen += c == '\n' ? 1 : 0;
      queue.pop(lines.size());
    }
  };
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 7 + round % 60; ++i, ++added) queue.add(record_for(target));
    read_all();
    CHECK(seen + queue.lost() == added);
  }
  CHECK(queue.lost() > 0);
  CHECK(seen > 1000);
}

}  // namespace
}  // namespace sluice::observe
