#include "plugins/compress/compress.h"

#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "plugins/compress/negotiation.h"
#include "tests/unit/plugins/bench.h"
#include "tests/unit/plugins/decode.h"

using namespace sluice;
using namespace sluice::plugins;
using filter::Verdict;
using http::BodySize;

namespace {

// An answer of 10 000 bytes of HTML to a client that takes gzip.
struct Page : Bench {
  explicit Page(const std::string& yaml = "{}", std::string_view accept = "gzip")
      : Bench(make_compress, yaml) {
    REQUIRE(wrong() == "");
    if (!accept.empty()) host.head.headers.add("Accept-Encoding", accept);
    response.headers.add("Content-Type", "text/html; charset=utf-8");
    response.body = BodySize::exactly(10000);
  }
  bool is_compressed() {
    CHECK(on_response() == Verdict::kContinue);
    CHECK(one->changes_response_body() == response.body.is_unknown());
    return response.headers.find("Content-Encoding") != nullptr;
  }
};

Decoded decode(std::string_view coding, std::string_view bytes) {
  if (coding == "gzip") return decode_gzip(bytes);
  return coding == "br" ? decode_br(bytes) : decode_zstd(bytes);
}

// Text that neither repeats nor is random.
std::string sample(size_t size) {
  std::string text;
  uint32_t number = 1;
  while (text.size() < size) {
    number = number * 1664525 + 1013904223;
    text += "word" + std::to_string(number >> 20) + (number % 7 == 0 ? "\n" : " ");
  }
  text.resize(size);
  return text;
}

std::string run(Page& page, std::string_view text, size_t step) {
  std::string out;
  while (text.size() > step) {
    Chain piece;
    piece.append_copy(text.substr(0, step));
    REQUIRE(page.one->on_response_body(piece, false));
    out += piece.to_string();
    text.remove_prefix(step);
  }
  Chain piece;
  piece.append_copy(text);
  REQUIRE(page.one->on_response_body(piece, true));
  return out + piece.to_string();
}

}  // namespace

TEST_CASE("compress: the head says what was done") {
  Page page;
  page.response.headers.add("ETag", "\"abc\"");
  page.response.headers.add("Accept-Ranges", "bytes");
  CHECK(page.is_compressed());
  CHECK(page.said("Content-Encoding") == "gzip");
  CHECK(page.said("Vary") == "Accept-Encoding");
  CHECK(page.said("ETag") == "W/\"abc\"");
  CHECK(page.response.headers.find("Accept-Ranges") == nullptr);
  CHECK(page.response.body.is_unknown());
}

TEST_CASE("compress: whole bodies come back the same, at each level, in any pieces") {
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    for (const size_t size : {0, 1, 5, 1000, 70000, 300000}) {
      for (const size_t step : {1, 777, 65536, 1000000}) {
        if (size / step > 5000) continue;
        for (const bool has_length : {true, false}) {
          CAPTURE(coding);
          CAPTURE(size);
          CAPTURE(step);
          Page page("{ min_size: 1 }", coding);
          page.response.body =
              has_length && size > 0 ? BodySize::exactly(size) : BodySize::unknown();
          REQUIRE(page.is_compressed());
          const auto text = sample(size);
          const auto bytes = run(page, text, step);
          const auto back = decode(coding, bytes);
          CHECK(back.is_whole);
          CHECK(back.text == text);
          if (size > 50000 && step > 50000) CHECK(bytes.size() < size / 2);
        }
      }
    }
    for (const std::string level : {"1", "6"}) {
      Page page("{ levels: { " + coding + ": " + level + " } }", coding);
      REQUIRE(page.is_compressed());
      CHECK(decode(coding, run(page, sample(10000), 1000)).text == sample(10000));
    }
  }
}

TEST_CASE("compress: one byte at a time without a length") {
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    Page page("{}", coding);
    page.response.body = BodySize::unknown();
    REQUIRE(page.is_compressed());
    const auto back = decode(coding, run(page, sample(3000), 1));
    CHECK(back.is_whole);
    CHECK(back.text == sample(3000));
  }
}

TEST_CASE("compress: each piece of a streamed answer can be read when it is out") {
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    CAPTURE(coding);
    Page page("{ types: [text/event-stream] }", coding);
    page.response.headers.set("Content-Type", "text/event-stream");
    page.response.body = BodySize::unknown();
    REQUIRE(page.is_compressed());
    std::string out, sent;
    for (int i = 0; i < 20; ++i) {
      const std::string event = "data: " + sample(static_cast<size_t>(1 + i * i * 100)) + "\n\n";
      Chain piece;
      piece.append_copy(event);
      REQUIRE(page.one->on_response_body(piece, false));
      out += piece.to_string();
      sent += event;
      const auto back = decode(coding, out);
      CHECK_FALSE(back.is_whole);
      REQUIRE(back.text == sent);
    }
  }
}

TEST_CASE("compress: an answer with a length is not flushed before its time") {
  Page page;
  REQUIRE(page.is_compressed());
  Chain piece;
  piece.append_copy(sample(100));
  REQUIRE(page.one->on_response_body(piece, false));
  CHECK(piece.size() < 20);  // at most gzip's own head
}

TEST_CASE("compress: file bytes are refused, not skipped") {
  Page page;
  REQUIRE(page.is_compressed());
  Chain piece;
  piece.append_file(std::make_shared<Fd>(), 0, 100);
  CHECK_FALSE(page.one->on_response_body(piece, true));
}

TEST_CASE("compress: what is left alone") {
  Page page;
  std::string vary;
  SUBCASE("206") {
    page.response.status = 206;
  }
  SUBCASE("204") {
    page.response.status = 204;
    page.response.body = BodySize::none();
  }
  SUBCASE("205") {
    page.response.status = 205;
  }
  SUBCASE("416") {
    page.response.status = 416;
  }
  SUBCASE("101") {
    page.response.status = 101;
  }
  SUBCASE("a range in a 200") {
    page.response.headers.add("Content-Range", "bytes 0-1/2");
  }
  SUBCASE("encoded already") {
    page.response.headers.add("Content-Encoding", "identity");
  }
  SUBCASE("no-transform") {
    page.response.headers.add("Cache-Control", "public, No-Transform");
  }
  SUBCASE("no-transform, in the second field") {
    page.response.headers.add("Cache-Control", "public");
    page.response.headers.add("Cache-Control", "no-transform");
  }
  SUBCASE("no-transform asked by the client") {
    page.host.head.headers.add("Cache-Control", "no-transform");
  }
  SUBCASE("a digest") {
    page.response.headers.add("Content-Digest", "sha-256=:x:");
  }
  SUBCASE("a picture") {
    page.response.headers.set("Content-Type", "image/png");
  }
  SUBCASE("an event stream") {
    page.response.headers.set("Content-Type", "text/event-stream");
  }
  SUBCASE("no type") {
    page.response.headers.remove("Content-Type");
  }
  SUBCASE("an absurd type") {
    page.response.headers.set("Content-Type", "text/" + std::string(1000, 'x'));
  }
  SUBCASE("too small") {
    page.response.body = BodySize::exactly(1023);
  }
  SUBCASE("empty") {
    page.response.body = BodySize::none();
  }
  SUBCASE("the client takes none") {
    page.host.head.headers.set("Accept-Encoding", "identity");
    vary = "Accept-Encoding";
  }
  SUBCASE("the client says nothing") {
    page.host.head.headers.remove("Accept-Encoding");
    vary = "Accept-Encoding";
  }
  page.response.headers.add("ETag", "\"abc\"");
  page.response.headers.add("Accept-Ranges", "bytes");
  const auto coding = page.said("Content-Encoding");
  CHECK(page.on_response() == Verdict::kContinue);
  CHECK_FALSE(page.one->changes_response_body());
  CHECK(page.said("Content-Encoding") == coding);
  CHECK(page.said("ETag") == "\"abc\"");
  CHECK(page.said("Accept-Ranges") == "bytes");
  CHECK(page.said("Vary") == vary);
}

TEST_CASE("compress: sizes at the edge") {
  Page page;
  SUBCASE("just large enough") {
    page.response.body = BodySize::exactly(1024);
  }
  SUBCASE("unknown counts as large") {
    page.response.body = BodySize::unknown();
  }
  CHECK(page.is_compressed());
}

TEST_CASE("compress: Vary is joined, not repeated") {
  const auto vary = [](const std::vector<std::string>& values) {
    Page page;
    for (const auto& value : values) page.response.headers.add("Vary", value);
    CHECK(page.is_compressed());
    size_t fields = 0;
    for (const auto& field : page.response.headers) fields += field.name == "Vary" ? 1 : 0;
    return std::to_string(fields) + ":" + page.said("Vary");
  };
  CHECK(vary({"Cookie"}) == "1:Cookie, Accept-Encoding");
  CHECK(vary({"Cookie, accept-encoding"}) == "1:Cookie, accept-encoding");
  CHECK(vary({"*"}) == "1:*");
  CHECK(vary({"Cookie", "Origin"}) == "1:Cookie, Origin, Accept-Encoding");
}

TEST_CASE("compress: a weak ETag stays as it is") {
  Page page;
  page.response.headers.add("ETag", "W/\"abc\"");
  CHECK(page.is_compressed());
  CHECK(page.said("ETag") == "W/\"abc\"");
}

TEST_CASE("compress: the answer to HEAD has the same head and no body") {
  Page page;
  page.host.head.method = "HEAD";
  page.response.body = BodySize::none();
  page.response.headers.add("ETag", "\"abc\"");
  SUBCASE("with a length") {
    page.response.declared_length = 10000;
  }
  SUBCASE("without") {}
  CHECK(page.is_compressed());
  CHECK_FALSE(page.one->changes_response_body());
  CHECK(page.said("ETag") == "W/\"abc\"");
  CHECK(page.said("Vary") == "Accept-Encoding");
  CHECK(page.response.body.is_none());
  CHECK_FALSE(page.response.declared_length.has_value());

  Page small;
  small.host.head.method = "HEAD";
  small.response.body = BodySize::none();
  small.response.declared_length = 10;
  CHECK_FALSE(small.is_compressed());
  CHECK(small.response.declared_length == 10);
}

TEST_CASE("compress: a 304 speaks of the form the client has") {
  const auto etag = [](std::string_view kept, std::string_view accept) {
    Page page("{}", accept);
    page.response.status = 304;
    page.response.body = BodySize::none();
    page.response.headers.remove("Content-Type");
    page.response.headers.add("ETag", "\"abc\"");
    if (!kept.empty()) page.host.head.headers.add("If-None-Match", kept);
    CHECK_FALSE(page.is_compressed());
    CHECK(page.said("Vary") == "Accept-Encoding");
    return page.said("ETag");
  };
  CHECK(etag("W/\"abc\"", "gzip") == "W/\"abc\"");
  CHECK(etag("\"x\", W/\"abc\"", "gzip") == "W/\"abc\"");
  CHECK(etag("\"abc\"", "gzip") == "\"abc\"");
  CHECK(etag("", "gzip") == "W/\"abc\"");
  CHECK(etag("", "identity") == "\"abc\"");

  Page picture;
  picture.response.status = 304;
  picture.response.headers.set("Content-Type", "image/png");
  picture.response.headers.add("ETag", "\"abc\"");
  picture.on_response();
  CHECK(picture.said("ETag") == "\"abc\"");
  CHECK(picture.said("Vary") == "");
}

TEST_CASE("compress: Accept-Encoding is weighed") {
  const auto pick = [](std::string_view accept) -> std::string {
    http::Headers headers;
    headers.add("Accept-Encoding", accept);
    const auto coding = negotiate(headers, {Coding::kZstd, Coding::kBrotli, Coding::kGzip});
    return coding ? std::string{name_of(*coding)} : "-";
  };
  CHECK(pick("gzip, deflate, br, zstd") == "zstd");
  CHECK(pick("gzip, deflate, br") == "br");
  CHECK(pick("GZIP") == "gzip");
  CHECK(pick("x-gzip") == "gzip");
  CHECK(pick("gzip;q=0.9, br;q=0.8, zstd;q=0.1") == "gzip");
  CHECK(pick("gzip ; Q=1.000 , br;q=0.999") == "gzip");
  CHECK(pick("*") == "zstd");
  CHECK(pick("*;q=0.5, zstd;q=0") == "br");
  CHECK(pick("*;q=0, gzip;q=0.001") == "gzip");
  CHECK(pick("gzip;q=0") == "-");
  CHECK(pick("gzip;q=0.5, identity") == "-");
  CHECK(pick("gzip;q=0.5, identity;q=0.5") == "gzip");
  CHECK(pick("identity;q=0") == "-");
  CHECK(pick("") == "-");
  CHECK(pick("deflate") == "-");
  for (const auto* odd :
       {"gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=-1", "gzip;q=0.1234", "gzip;q=1x",
        "gzip;level=5", "gzip;", "gzip gzip", ";q=1", ",,,", "gzip;q=.5", "gzip;q=01"}) {
    CAPTURE(odd);
    CHECK(pick(odd) == "-");
  }
  http::Headers two;
  two.add("Accept-Encoding", "gzip;q=0.1");
  two.add("Accept-Encoding", "br;q=0.2");
  CHECK(negotiate(two, {Coding::kGzip, Coding::kBrotli}) == Coding::kBrotli);
}

TEST_CASE("compress: the order given decides between equals") {
  Page page("{ codings: [gzip, br] }", "br, gzip, zstd");
  CHECK(page.is_compressed());
  CHECK(page.said("Content-Encoding") == "gzip");
}

TEST_CASE("compress: types") {
  const TypeList usual;
  for (const auto* type :
       {"text/html", "TEXT/HTML;charset=x", "application/json", "application/problem+json",
        "image/svg+xml", "application/wasm", "text/css ; a=b", "font/ttf"}) {
    CAPTURE(type);
    CHECK(usual.has(type));
  }
  for (const auto* type :
       {"", "text", "image/png", "text/event-stream", "TEXT/Event-Stream; x=y", "font/woff2",
        "application/zip", "video/mp4", "xtext/html", "application/jsonx", ";"}) {
    CAPTURE(type);
    CHECK_FALSE(usual.has(type));
  }
  for (const auto* pattern : {"text/*", "a/b", "*+json"}) CHECK(TypeList::is_valid(pattern));
  for (const auto* pattern : {"*", "*/*", "text", "/x", "x/", "a/*b", "a*/b", "*+", "*+a/b", ""}) {
    CAPTURE(pattern);
    CHECK_FALSE(TypeList::is_valid(pattern));
  }
}

TEST_CASE("compress: settings that cannot be are refused, all at once") {
  const Bench bench(make_compress,
                    "{ codings: [gzip, gzip, lzma], types: [text], min_size: x, levels: { gzip: "
                    "10, b: 1 }, lvl: 1 }");
  CHECK(bench.factory == nullptr);
  CHECK(bench.wrong().find("lzma") != std::string::npos);
  CHECK(bench.wrong().find("twice") != std::string::npos);
  CHECK(bench.wrong().find("\"text\"") != std::string::npos);
  CHECK(bench.wrong().find("min_size") != std::string::npos);
  CHECK(bench.wrong().find("gzip") != std::string::npos);
  CHECK(bench.faults.lines().size() == 7);
  CHECK(Bench(make_compress, "{ codings: [] }").wrong() != "");
  CHECK(Bench(make_compress, "").wrong() == "");
}
