#include "proxy/http/body_decoder.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>

using namespace sluice;
using namespace sluice::http;

namespace {

struct Decoded {
  std::string body;
  size_t taken = 0;
  bool complete = false;
  std::string_view fault;
  std::string trailers;
};

Decoded decode(BodyDecoder decoder, std::string_view bytes, size_t step) {
  Decoded out;
  BlockRef block = BlockRef::make(bytes.size() + 1);
  std::memcpy(block->data(), bytes.data(), bytes.size());
  const std::string_view all{block->data(), bytes.size()};
  Chain chain;
  for (size_t end = 0; end < all.size() && !decoder.is_complete();) {
    end = std::min(end + step, all.size());
    const auto taken = decoder.decode(block, all.substr(out.taken, end - out.taken), chain);
    if (!taken) {
      out.fault = taken.error().reason;
      break;
    }
    out.taken += *taken;
    if (!decoder.is_complete()) CHECK(out.taken == end);  // what is not whole is remembered inside
  }
  out.complete = decoder.is_complete();
  out.body = chain.to_string();
  for (const auto& field : decoder.trailers()) {
    out.trailers += std::string{field.name} + "=" + std::string{field.value} + ";";
  }
  return out;
}

// All steps must come to the same.
Decoded chunked(std::string_view bytes, HeadLimits limits = {}) {
  const auto fresh = [&limits] { return BodyDecoder(BodyFraming::kChunked, 0, limits); };
  const Decoded whole = decode(fresh(), bytes, bytes.size() + 1);
  for (const size_t step : {1, 2, 3, 5, 17}) {
    if (bytes.size() / step > 100000) continue;
    const Decoded pieces = decode(fresh(), bytes, step);
    CAPTURE(step);
    CHECK(pieces.body == whole.body);
    CHECK(pieces.complete == whole.complete);
    CHECK(pieces.fault.empty() == whole.fault.empty());
    CHECK(pieces.trailers == whole.trailers);
    if (whole.complete) CHECK(pieces.taken == whole.taken);
  }
  return whole;
}

}  // namespace

TEST_CASE("body: none is complete at once") {
  BodyDecoder none;
  CHECK(none.is_complete());
  CHECK(none.left() == 0);
  CHECK(BodyDecoder(BodyFraming::kNone, 0, {}).is_complete());
  CHECK(BodyDecoder(BodyFraming::kLength, 0, {}).is_complete());
  CHECK(none.on_end());
}

TEST_CASE("body: by length takes exactly that") {
  const Decoded whole = decode(BodyDecoder(BodyFraming::kLength, 5, {}), "helloGET", 8);
  CHECK(whole.body == "hello");
  CHECK(whole.taken == 5);
  CHECK(whole.complete);
  CHECK(decode(BodyDecoder(BodyFraming::kLength, 5, {}), "helloGET", 1).body == "hello");
  BodyDecoder decoder(BodyFraming::kLength, 10, {});
  BlockRef block = BlockRef::make(16);
  std::memcpy(block->data(), "hello", 5);
  Chain chain;
  REQUIRE(decoder.decode(block, {block->data(), 5}, chain));
  CHECK(decoder.left() == 5);
  CHECK_FALSE(decoder.on_end());
  // No copy: the chain's piece is the block itself.
  CHECK(chain.front().data == block->data());
}

TEST_CASE("body: until the end of the connection") {
  BodyDecoder decoder(BodyFraming::kUntilClose, 0, {});
  CHECK(decoder.left() == std::numeric_limits<uint64_t>::max());
  BlockRef block = BlockRef::make(16);
  std::memcpy(block->data(), "0\r\n\r\n", 5);
  Chain chain;
  const auto taken = decoder.decode(block, {block->data(), 5}, chain);
  REQUIRE(taken);
  CHECK(*taken == 5);
  CHECK(chain.size() == 5);
  CHECK_FALSE(decoder.is_complete());
  CHECK(decoder.on_end());
  CHECK(decoder.is_complete());
}

TEST_CASE("chunked: sizes in both cases, leading zeros, extensions, trailers") {
  const Decoded out = chunked(
      "A\r\n0123456789\r\nb;x\r\n0123456789a\r\n0005;a=\"x;\\\"y\\\" z\";c=d\r\nhello\r\n"
      "000;last\r\nX-T: 1\r\nX-U: 2\r\n\r\nGET /next");
  CHECK(out.body == "01234567890123456789ahello");
  CHECK(out.complete);
  CHECK(out.trailers == "X-T=1;X-U=2;");
  CHECK(chunked("0\r\n\r\nrest").taken == 5);
}

TEST_CASE("chunked: what is cut off is not complete") {
  const std::string whole = "5;e=f\r\nhello\r\n0\r\nX: y\r\n\r\n";
  for (size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    const Decoded out = chunked(whole.substr(0, n));
    CHECK_FALSE(out.complete);
    CHECK(out.fault.empty());
  }
  CHECK(chunked(whole).complete);
  BodyDecoder decoder(BodyFraming::kChunked, 0, {});
  CHECK_FALSE(decoder.on_end());
}

TEST_CASE("chunked: bad size lines") {
  for (const std::string_view line : {"",
                                      "-5",
                                      "+5",
                                      "0x5",
                                      "Z",
                                      "INVALID!!!",
                                      "5.0",
                                      "5,5",
                                      "5 5",
                                      "5 ",
                                      " 5",
                                      "5\t",
                                      "0_2e",
                                      "FFFFFFFFFFFFFFFFFF",
                                      "FFFFFFFFFFFFFFFF",
                                      "8000000000000000",
                                      "00000000000000005",
                                      ";a=b",
                                      "5;",
                                      "5; a",
                                      "5 ;a",
                                      "5;a =b",
                                      "5;a= b",
                                      "5;a=",
                                      "5;=b",
                                      "5;a;",
                                      "5;a=\"b",
                                      "5;a=\"b\"c",
                                      "5;a=\"\\",
                                      "5;a=\x01",
                                      "5;a\rb",
                                      "5;a b",
                                      "5;\x80",
                                      "5\r",
                                      "5;a=\"\x7f\"",
                                      "5;a@b"}) {
    CAPTURE(line);
    const Decoded out = chunked(std::string{line} + "\r\nhello\r\n0\r\n\r\n");
    CHECK_FALSE(out.fault.empty());
    CHECK(out.body.empty());
  }
  CHECK_FALSE(chunked("5\nhello\r\n0\r\n\r\n").fault.empty());
  CHECK_FALSE(chunked("5\r\nhello\r\n0\n\r\n").fault.empty());
  CHECK_FALSE(chunked("5\rhello\r\n0\r\n\r\n").fault.empty());
  CHECK(chunked("7FFFFFFFFFFFFFFF\r\nab").body == "ab");
  CHECK(chunked("0000000000000005\r\nhello\r\n0\r\n\r\n").complete);
}

TEST_CASE("chunked: data ends with CRLF and nothing else") {
  for (const std::string_view bytes :
       {"5\r\nhello!!\r\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n", "5\r\nhello\r\r\n0\r\n\r\n", "2;a=b\r\n\rXX\r\n0\r\n\r\n"}) {
    CAPTURE(bytes);
    CHECK_FALSE(chunked(bytes).fault.empty());
  }
}

TEST_CASE("chunked: bad trailers") {
  for (const std::string_view trailer :
       {"XXGET /smuggled HTTP/1.1\r\nX: y\r\n\r\n", "nonsense\r\n\r\n", "X: a\rb\r\n\r\n",
        "X: a\r\n b\r\n\r\n", "\n", "X: y\n\r\n", " X: y\r\n\r\n", "X : y\r\n\r\n"}) {
    CAPTURE(trailer);
    CHECK_FALSE(chunked("5\r\nhello\r\n0\r\n" + std::string{trailer}).fault.empty());
  }
}

TEST_CASE("chunked: trailers have the limits of a head") {
  HeadLimits limits{.line = 100, .block = 32, .count = 2};
  const auto section = [](size_t n) { return "0\r\nX: " + std::string(n - 5, 'a') + "\r\n\r\n"; };
  CHECK(chunked(section(32), limits).complete);
  CHECK(chunked(section(33), limits).fault == "headers_too_large");
  CHECK(chunked("0\r\nX: " + std::string(1000, 'a'), limits).fault == "headers_too_large");
  CHECK(chunked("0\r\nA: 1\r\nB: 2\r\n\r\n", limits).complete);
  CHECK(chunked("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits).fault == "too_many_headers");
  // Behind the limit other messages may follow in the same bytes.
  const Decoded out = chunked(section(32) + std::string(5000, 'n'), limits);
  CHECK(out.complete);
  CHECK(out.taken == 3 + 32 + 2);
}

TEST_CASE("chunked: tiny chunks pass, floods of extensions do not") {
  std::string tiny;
  for (int i = 0; i < 20000; ++i) tiny += "1\r\na\r\n";
  CHECK(chunked(tiny + "0\r\n\r\n").body.size() == 20000);
  std::string flood;
  for (int i = 0; i < 5000; ++i) flood += "1;" + std::string(200, 'e') + "\r\na\r\n";
  CHECK(chunked(flood + "0\r\n\r\n").fault == "chunk_overhead");
  std::string some;  // what a client that signs its chunks sends
  for (int i = 0; i < 500; ++i) {
    some += "80;chunk-signature=" + std::string(64, 'a') + "\r\n" + std::string(128, 'x') + "\r\n";
  }
  CHECK(chunked(some + "0\r\n\r\n").complete);
}

TEST_CASE("chunked: one size line is bounded") {
  const auto line = [](size_t n) { return "5;" + std::string(n - 4, 'a') + "\r\n"; };
  CHECK(chunked(line(4096) + "hello\r\n0\r\n\r\n").complete);
  CHECK(chunked(line(4097) + "hello\r\n0\r\n\r\n").fault == "chunk_line_too_long");
  CHECK(chunked("5;" + std::string(65536, 'a')).fault == "chunk_line_too_long");
}

TEST_CASE("body: a decoder that begins again is as a new one") {
  const HeadLimits limits;
  const std::string chunked_body = "3\r\nabc\r\n0\r\nA: 1\r\n\r\n";
  BlockRef block = BlockRef::make(64);
  std::memcpy(block->data(), chunked_body.data(), chunked_body.size());
  const std::string_view bytes{block->data(), chunked_body.size()};
  BodyDecoder decoder(BodyFraming::kChunked, 0, limits);
  for (const size_t cut : {size_t{2}, size_t{12}, bytes.size()}) {  // a size, a trailer, the end
    CAPTURE(cut);
    Chain chain;
    REQUIRE(decoder.decode(block, bytes.substr(0, cut), chain));
    CHECK(decoder.is_complete() == (cut == bytes.size()));
    decoder.begin(BodyFraming::kChunked, 0, limits);
    CHECK(decoder.trailers().empty());
    CHECK(decode(std::move(decoder), bytes, bytes.size()).body == "abc");
    decoder.begin(BodyFraming::kLength, 5, limits);
    CHECK(decoder.left() == 5);
    decoder.rest();
    CHECK(decoder.is_complete());
    CHECK(decoder.left() == 0);
    decoder = BodyDecoder(BodyFraming::kChunked, 0, limits);
  }
}
