#include "proxy/http/head_writer.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using namespace sluice;
using namespace sluice::http;

namespace {

std::string written(const RequestHead& head, WireFraming framing = {}) {
  Chain out;
  write_request_head(head, framing, out);
  CHECK(out.piece_count() == 1);
  return out.to_string();
}

std::string written(const ResponseHead& head, WireFraming framing = {},
                    std::string_view date = {}) {
  Chain out;
  write_response_head(head, framing, date, out);
  CHECK(out.piece_count() == 1);
  return out.to_string();
}

RequestHead request(std::string_view method) {
  RequestHead head;
  head.method = method;
  head.target = "/x?y";
  head.authority = "example.com";
  return head;
}

}  // namespace

TEST_CASE("request head: Host first, fields in order, framing last") {
  RequestHead head = request("GET");
  head.headers.add("X-A", "1");
  head.headers.add("hOST", "other.example");
  head.headers.add("x-a", "");
  CHECK(written(head) == "GET /x?y HTTP/1.1\r\nHost: other.example\r\nX-A: 1\r\nx-a: \r\n\r\n");
  CHECK(written(request("GET")) == "GET /x?y HTTP/1.1\r\nHost: example.com\r\n\r\n");
}

TEST_CASE("request head: the body's size") {
  const std::string start = " /x?y HTTP/1.1\r\nHost: example.com\r\n";
  RequestHead head = request("POST");
  CHECK(written(head) == "POST" + start + "Content-Length: 0\r\n\r\n");
  head.body = BodySize::exactly(12345678901);
  CHECK(written(head) == "POST" + start + "Content-Length: 12345678901\r\n\r\n");
  head.body = BodySize::unknown();
  CHECK(written(head, {.chunked = true}) == "POST" + start + "Transfer-Encoding: chunked\r\n\r\n");
  CHECK(written(request("DELETE")) == "DELETE" + start + "\r\n");
}

TEST_CASE("request head: connection and upgrade") {
  const std::string start = "GET /x?y HTTP/1.1\r\nHost: example.com\r\n";
  RequestHead head = request("GET");
  CHECK(written(head, {.close = true}) == start + "Connection: close\r\n\r\n");
  CHECK(written(head, {.keep_alive = true}) == start + "Connection: keep-alive\r\n\r\n");
  head.upgrade = "websocket";
  CHECK(written(head) == start + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

TEST_CASE("response head: status line and reason") {
  ResponseHead head;
  head.status = 404;
  head.body = BodySize::exactly(3);
  CHECK(written(head) == "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n");
  head.reason = "Gone fishing";
  CHECK(written(head) == "HTTP/1.1 404 Gone fishing\r\nContent-Length: 3\r\n\r\n");
}

TEST_CASE("response head: the body's size") {
  ResponseHead head;
  CHECK(written(head) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(written(head, {.to_head = true}) == "HTTP/1.1 200 OK\r\n\r\n");
  head.declared_length = 7;
  CHECK(written(head, {.to_head = true}) == "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
  head = ResponseHead{};
  head.body = BodySize::unknown();
  CHECK(written(head, {.chunked = true}) ==
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(written(head, {.close = true}) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  head = ResponseHead{};
  head.status = 204;
  CHECK(written(head) == "HTTP/1.1 204 No Content\r\n\r\n");
  head.status = 304;
  CHECK(written(head) == "HTTP/1.1 304 Not Modified\r\n\r\n");
  head.declared_length = 9;
  CHECK(written(head) == "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
  head = ResponseHead{};
  head.status = 103;
  CHECK(written(head) == "HTTP/1.1 103 Early Hints\r\n\r\n");
  head.status = 101;
  head.upgrade = "websocket";
  CHECK(written(head) ==
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

TEST_CASE("response head: Date is added where it is missing") {
  ResponseHead head;
  head.status = 304;
  CHECK(written(head, {}, "now") == "HTTP/1.1 304 Not Modified\r\nDate: now\r\n\r\n");
  head.headers.add("date", "then");
  CHECK(written(head, {}, "now") == "HTTP/1.1 304 Not Modified\r\ndate: then\r\n\r\n");
}

TEST_CASE("heads larger than a block are still one run") {
  ResponseHead head;
  head.headers.add("X-Large", std::string(200000, 'l'));
  CHECK(written(head).size() > 200000);
}

TEST_CASE("chunks: sizes and the last one") {
  Chain out;
  write_chunk_size(31, out);
  write_chunk_size(0x1234567890abcdef, out);
  write_last_chunk(Headers{}, out);
  Headers trailers;
  trailers.add("X-T", "1");
  write_last_chunk(trailers, out);
  CHECK(out.to_string() == "1f\r\n1234567890abcdef\r\n0\r\n\r\n0\r\nX-T: 1\r\n\r\n");
}

TEST_CASE("date: one format, kept for the second") {
  const TimePoint start = steady_now();
  const std::string first{http_date(start)};
  REQUIRE(first.size() == 29);
  CHECK(first.substr(3, 2) == ", ");
  CHECK(first.substr(25) == " GMT");
  CHECK(std::string{http_date(start)} == first);
  // A clock that goes back or leaps has it made anew.
  CHECK(http_date(start - std::chrono::hours(1)).size() == 29);
  CHECK(http_date(start + std::chrono::hours(1)).size() == 29);
}
