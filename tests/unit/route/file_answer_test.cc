#include "proxy/route/file_answer.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/unit/route/site.h"

using namespace sluice;
using namespace sluice::route;

namespace {

constexpr const char* kModified = "Tue, 14 Nov 2023 22:13:20 GMT";

struct Shelf : Site {
  Shelf() {
    temp.write("www/file.txt", "0123456789\n");
    temp.write("www/empty.txt", "");
    temp.write("www/large.bin", std::string(100000, 'x') + "end");
  }
};

}  // namespace

TEST_CASE("file answer: a small file is in memory, a large one stays in its file") {
  const Shelf shelf;
  const auto small = shelf.get("/static/file.txt");
  CHECK(small.head.status == 200);
  CHECK(small.head.body.length == 11);
  REQUIRE(small.body.piece_count() == 1);
  CHECK_FALSE(small.body.front().is_file());
  CHECK(field(small, "Last-Modified") == kModified);
  CHECK(field(small, "Accept-Ranges") == "bytes");
  const auto large = shelf.get("/static/large.bin");
  CHECK(large.head.body.length == 100003);
  REQUIRE(large.body.piece_count() == 1);
  CHECK(large.body.front().is_file());
  CHECK(large.body.memory() == 0);
  CHECK(bytes_of(large.body).substr(100000) == "end");
}

TEST_CASE("file answer: an empty file has a length of 0, and no range") {
  const Shelf shelf;
  const auto answer = shelf.get("/static/empty.txt");
  CHECK(answer.head.status == 200);
  CHECK(answer.head.body.kind == http::BodySize::Kind::kExact);
  CHECK(answer.head.body.length == 0);
  CHECK(shelf.status("/static/empty.txt", {{"Range", "bytes=0-0"}}) == 416);
}

TEST_CASE("file answer: a file replaced while being served stays whole") {
  const Shelf shelf;
  const auto answer = shelf.get("/static/large.bin");
  shelf.temp.write("www/large.new", "other");
  std::filesystem::rename(shelf.temp.path("www/large.new"), shelf.temp.path("www/large.bin"));
  CHECK(bytes_of(answer.body).size() == 100003);
  CHECK(shelf.body("/static/large.bin") == "other");
}

TEST_CASE("file answer: a replaced file has another tag, even with the same size and time") {
  const Shelf shelf;
  const auto tag = field(shelf.get("/static/file.txt"), "ETag");
  CHECK(tag.front() == '"');
  CHECK(tag.back() == '"');
  CHECK(field(shelf.get("/static/file.txt"), "ETag") == tag);
  shelf.temp.write("www/new.txt", "9876543210\n");
  std::filesystem::rename(shelf.temp.path("www/new.txt"), shelf.temp.path("www/file.txt"));
  CHECK(field(shelf.get("/static/file.txt"), "ETag") != tag);
}

TEST_CASE("file answer: Last-Modified is never in the future") {
  const Shelf shelf;
  shelf.temp.set_time("www/file.txt", 32503680000);  // year 3000
  CHECK(field(shelf.get("/static/file.txt"), "Last-Modified").find("3000") == std::string::npos);
  shelf.temp.set_time("www/file.txt", -5);
  CHECK(field(shelf.get("/static/file.txt"), "Last-Modified") == "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST_CASE("file answer: 304 has what a cache needs and no body") {
  Shelf shelf;
  shelf.config.cache_control = "public, max-age=60";
  const auto tag = field(shelf.get("/static/file.txt"), "ETag");
  for (const auto* method : {"GET", "HEAD"}) {
    const auto answer = shelf.ask(method, "/static/file.txt", {{"If-None-Match", "W/" + tag}});
    CHECK(answer.head.status == 304);
    CHECK(answer.head.body.is_none());
    CHECK(answer.body.empty());
    CHECK(field(answer, "ETag") == tag);
    CHECK(field(answer, "Cache-Control") == "public, max-age=60");
    CHECK(field(answer, "Content-Type").empty());
    CHECK(field(answer, "Vary") == "Accept-Encoding");
  }
  CHECK(shelf.status("/static/file.txt", {{"If-Modified-Since", kModified}}) == 304);
  CHECK(shelf.status("/static/file.txt", {{"If-Match", "\"other\""}}) == 412);
  CHECK(shelf.status("/static/file.txt", {{"If-Match", tag}}) == 200);
  // What is not there has no version to compare.
  CHECK(shelf.status("/static/none.txt", {{"If-Match", "*"}}) == 404);
}

TEST_CASE("file answer: one range") {
  const Shelf shelf;
  const auto answer = shelf.get("/static/file.txt", {{"Range", "bytes=2-4"}});
  CHECK(answer.head.status == 206);
  CHECK(field(answer, "Content-Range") == "bytes 2-4/11");
  CHECK(field(answer, "Content-Type") == "text/plain; charset=utf-8");
  CHECK(answer.head.body.length == 3);
  CHECK(bytes_of(answer.body) == "234");
  CHECK(shelf.body("/static/large.bin", {{"Range", "bytes=-3"}}) == "end");
  const auto large = shelf.get("/static/large.bin", {{"Range", "bytes=10-"}});
  CHECK(large.body.front().is_file());
  CHECK(large.body.front().offset == 10);
  CHECK(large.head.body.length == 99993);
}

TEST_CASE("file answer: a range that is outside, and ranges that do not count") {
  const Shelf shelf;
  const auto outside = shelf.get("/static/file.txt", {{"Range", "bytes=11-"}});
  CHECK(outside.head.status == 416);
  CHECK(field(outside, "Content-Range") == "bytes */11");
  CHECK(shelf.status("/static/file.txt", {{"Range", "bytes=0-0"}, {"Range", "bytes=1-1"}}) == 200);
  CHECK(shelf.status("/static/file.txt", {{"Range", "lines=0-0"}}) == 200);
  const auto head = shelf.ask("HEAD", "/static/file.txt", {{"Range", "bytes=0-0"}});
  CHECK(head.head.status == 200);
  CHECK(head.head.declared_length == 11);
}

TEST_CASE("file answer: If-Range decides between the part and the whole") {
  const Shelf shelf;
  const auto tag = field(shelf.get("/static/file.txt"), "ETag");
  const auto with = [&shelf](std::string_view condition) {
    return shelf.status("/static/file.txt", {{"Range", "bytes=0-0"}, {"If-Range", condition}});
  };
  CHECK(with(tag) == 206);
  CHECK(with("W/" + tag) == 200);
  CHECK(with("\"other\"") == 200);
  CHECK(with(kModified) == 206);
  CHECK(with("Mon, 01 Jan 2001 00:00:00 GMT") == 200);
}

TEST_CASE("file answer: several ranges are parts with a boundary") {
  const Shelf shelf;
  const auto answer = shelf.get("/static/file.txt", {{"Range", "bytes=0-1, 4-5, -2"}});
  CHECK(answer.head.status == 206);
  CHECK(field(answer, "Content-Range").empty());
  const std::string type = field(answer, "Content-Type");
  const std::string start = "multipart/byteranges; boundary=";
  REQUIRE(type.substr(0, start.size()) == start);
  const std::string boundary = type.substr(start.size());
  CHECK(boundary.size() == 32);
  const auto part = [&boundary](std::string_view range, std::string_view text) {
    return "--" + boundary +
           "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes " +
           std::string{range} + "/11\r\n\r\n" + std::string{text} + "\r\n";
  };
  const std::string body = bytes_of(answer.body);
  CHECK(body ==
        part("0-1", "01") + part("4-5", "45") + part("9-10", "9\n") + "--" + boundary + "--\r\n");
  CHECK(answer.head.body.length == body.size());
  CHECK(field(shelf.get("/static/file.txt", {{"Range", "bytes=0-1,4-5"}}), "Content-Type") != type);
}

TEST_CASE("file answer: large parts stay in the file; a flood of ranges does not multiply") {
  const Shelf shelf;
  const auto parts = shelf.get("/static/large.bin", {{"Range", "bytes=0-20000,30000-60000"}});
  CHECK(parts.head.body.length == parts.body.size());
  CHECK(parts.body.memory() < 1000);
  std::string flood = "bytes=";
  for (int i = 0; i < 1000; ++i) flood += "0-,";
  const auto whole = shelf.get("/static/file.txt", {{"Range", flood}});
  CHECK(whole.head.status == 200);
  CHECK(whole.head.body.length == 11);
  CHECK(shelf.body("/static/file.txt", {{"Range", "bytes=0-,0-,0-"}}) == "0123456789\n");
}
