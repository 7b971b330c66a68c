#include "proxy/http/framing.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/http/played.h"

using namespace sluice;
using namespace sluice::http;

namespace {

struct Outcome {
  int fault = 0;
  std::string_view reason;
  RequestHead head;
  MessageFraming framing;
};

// A POST with Host and these fields.
Outcome request(std::string_view fields, std::string_view line = "POST /c HTTP/1.1",
                std::string_view host = "Host: example.com\r\n") {
  Outcome out;
  size_t scanned = 0;
  const std::string bytes =
      std::string{line} + "\r\n" + std::string{host} + std::string{fields} + "\r\n";
  const auto taken = parse_request_head(bytes, {}, scanned, out.head);
  if (!taken) {
    out.fault = taken.error().status;
    out.reason = taken.error().reason;
    return out;
  }
  REQUIRE(*taken == bytes.size());
  const auto framing = frame_request(out.head);
  if (framing) {
    out.framing = *framing;
  } else {
    out.fault = framing.error().status;
    out.reason = framing.error().reason;
  }
  return out;
}

struct Answer {
  int fault = 0;
  ResponseHead head;
  MessageFraming framing;
};

Answer response(std::string_view lines, std::string_view method = "GET",
                std::string_view upgrade_asked = {}) {
  Answer out;
  size_t scanned = 0;
  const std::string bytes = std::string{lines} + "\r\n";
  const auto taken = parse_response_head(bytes, {}, scanned, out.head);
  REQUIRE(taken);
  REQUIRE(*taken == bytes.size());
  const auto framing = frame_response(out.head, method, upgrade_asked);
  if (framing) {
    out.framing = *framing;
  } else {
    out.fault = framing.error().status;
  }
  return out;
}

}  // namespace

TEST_CASE("framing: a request's body by length, chunked, or none") {
  auto length = request("Content-Length: \t 5 \t\r\n");
  CHECK(length.framing.body == BodyFraming::kLength);
  CHECK(length.head.body.length == 5);
  CHECK(request("Content-Length: 0000000005\r\n").head.body.length == 5);
  CHECK(request("Content-Length: 1152921504606846976\r\n").fault == 0);
  auto zero = request("Content-Length: 0\r\n");
  CHECK(zero.framing.body == BodyFraming::kNone);
  CHECK(zero.head.body.is_none());
  auto none = request("");
  CHECK(none.framing.body == BodyFraming::kNone);
  auto chunked = request("tRANSFER-ENCODING:\tChUnKeD\t\r\n");
  CHECK(chunked.framing.body == BodyFraming::kChunked);
  CHECK(chunked.head.body.is_unknown());
  CHECK(chunked.head.headers.size() == 1);  // Host
}

TEST_CASE("framing: Content-Length that is not one plain number is refused") {
  for (const std::string_view value :
       {"-5", "+5", "0x5", "0o5", "5.0", "5e0", ",5", "5,", "5, 5", "5,5", "5 5", "", "five",
        "99999999999999999999999999999999", "-18446744073709551611", "18446744073709551621",
        "1152921504606846977", "5\xa0",
        "\xa0"
        "5"}) {
    CAPTURE(value);
    CHECK(request("Content-Length: " + std::string{value} + "\r\n").fault == 400);
  }
  CHECK(request("Content-Length: 5\r\nContent-Length: 6\r\n").fault == 400);
  CHECK(request("Content-Length: 5\r\nContent-Length: 5\r\n").fault == 400);
  CHECK(request("Content-Length:\r\nContent-Length: 5\r\n").fault == 400);
}

TEST_CASE("framing: Transfer-Encoding is one final chunked or refused") {
  for (const std::string_view value :
       {"xchunked", "chunked, identity", "chunked, cow", "chunked;q=1", "identity", "gzip", "", ",",
        ", chunked", "chunked,", "chunked, chunked",
        "\x85"
        "chunked",
        "chunked\xa0", "\"chunked\"", "chunked chunked", "chun ked"}) {
    CAPTURE(value);
    CHECK(request("Transfer-Encoding: " + std::string{value} + "\r\n").fault == 400);
  }
  CHECK(request("Transfer-Encoding: cow, chunked\r\n").fault == 501);
  CHECK(request("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n").fault == 501);
  CHECK(request("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n").fault == 400);
  CHECK(request("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n").fault == 400);
  CHECK(request("Transfer-Encoding: chunked\r\n", "POST /c HTTP/1.0").fault == 400);
}

TEST_CASE("framing: both lengths are refused in any order, even zero") {
  const std::string te = "Transfer-Encoding: chunked\r\n";
  CHECK(request(te + "Content-Length: 15\r\n").fault == 400);
  CHECK(request("Content-Length: 15\r\n" + te).fault == 400);
  CHECK(request("Content-Length: 0\r\n" + te).fault == 400);
  CHECK(request("Content-Length: x\r\n" + te).fault == 400);
  // What only looks like a coding does not frame.
  CHECK(request("Content-Length: 5\r\nContent-Encoding: chunked\r\n").head.body.length == 5);
}

TEST_CASE("framing: Host, exactly one and valid") {
  const auto with = [](std::string_view host, std::string_view line = "GET /c HTTP/1.1") {
    return request("", line, host).fault;
  };
  CHECK(with("") == 400);
  CHECK(with("Host:\r\n") == 400);
  CHECK(with("Host: a\r\nhOST: b\r\n") == 400);
  CHECK(with("Host: a\r\nHost: a\r\n") == 400);
  CHECK(with("Host: a\r\nHost: b\r\n", "GET http://a/ HTTP/1.1") == 400);
  CHECK(with("", "GET http://example.com/ HTTP/1.1") == 400);
  CHECK(with("", "GET /c HTTP/1.0") == 0);
  CHECK(with("Host: a\r\nHost: b\r\n", "GET /c HTTP/1.0") == 400);
  CHECK(with("Host: a b\r\n", "GET /c HTTP/1.0") == 400);

  auto upper = request("", "GET / HTTP/1.1", "Host: EXAMPLE.com:80\r\n");
  CHECK(upper.head.authority == "EXAMPLE.com:80");
  auto absolute = request("", "GET http://a.example/x HTTP/1.1", "Host: b.example\r\n");
  CHECK(absolute.head.authority == "a.example");
  CHECK(absolute.head.headers.get(HeaderId::kHost) == "a.example");
  auto old = request("", "GET http://a.example/x HTTP/1.0", "");
  CHECK(old.head.headers.get(HeaderId::kHost) == "a.example");
}

TEST_CASE("framing: authorities") {
  for (const std::string_view good :
       {"example.com", "127.0.0.1", "EXAMPLE.com:80", "under_score.example", "a", "[::1]",
        "[::1]:8080", "[::1]:", "[2001:db8::1]", "[::ffff:1.2.3.4]:1", "h:", "h:0", "h:65535",
        "xn--e1a.x", "a.b.c.", "a~b!"}) {
    CAPTURE(good);
    CHECK(is_valid_authority(good));
  }
  for (const std::string_view bad : {"",
                                     ":80",
                                     "a b",
                                     "a,b",
                                     "u@h",
                                     "h/p",
                                     "h?q",
                                     "h#f",
                                     "h:http",
                                     "h:80:81",
                                     "h:65536",
                                     "h:99999999999999999999",
                                     "h:-1",
                                     "h: 80",
                                     "<script>",
                                     "h\\x",
                                     "[",
                                     "[]",
                                     "[::1",
                                     "::1",
                                     "[::1]x",
                                     "[::1]80",
                                     "[fe80::1%25eth0]",
                                     "[fe80::1%eth0]",
                                     "[v1.x]",
                                     "[1.2.3.4]",
                                     "[:::1]",
                                     "[g::]",
                                     "h\"x",
                                     "%65xample.com",
                                     "h\xe9",
                                     "h\t",
                                     "a|b",
                                     "h^"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_valid_authority(bad));
  }
  CHECK_FALSE(is_valid_authority(std::string_view{"[::1\0]", 6}));
  CHECK_FALSE(is_valid_authority(std::string_view{"a\0b", 3}));
  CHECK(is_valid_authority(std::string(255, 'a')));
  CHECK_FALSE(is_valid_authority(std::string(256, 'a')));
}

TEST_CASE("framing: Connection decides whether the connection is kept") {
  const auto keeps = [](std::string_view fields, std::string_view line = "GET /c HTTP/1.1") {
    const auto out = request(fields, line);
    CHECK(out.fault == 0);
    return out.framing.keep_alive;
  };
  CHECK(keeps(""));
  CHECK_FALSE(keeps("Connection: close\r\n"));
  CHECK_FALSE(keeps("Connection: x, CLOSE\r\n"));
  CHECK_FALSE(keeps("Connection: keep-alive\r\nConnection: close\r\n"));
  CHECK_FALSE(keeps("", "GET /c HTTP/1.0"));
  CHECK(keeps("Connection: Keep-Alive\r\n", "GET /c HTTP/1.0"));
  CHECK_FALSE(keeps("Connection: keep-alive, close\r\n", "GET /c HTTP/1.0"));
  CHECK_FALSE(keeps("Proxy-Connection: keep-alive\r\n", "GET /c HTTP/1.0"));
}

TEST_CASE("framing: fields of the hop are removed, others stay in order") {
  auto out = request(
      "X-A: 1\r\nConnection: x-secret, Keep-Alive\r\nX-Secret: 1\r\nX-SECRET: 2\r\nX-Keep: 1\r\n"
      "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-T\r\n"
      "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\nProxy-Authorization: Basic eA==\r\nX-A: 2\r\n"
      "Max-Forwards: 3\r\nUnder_score: 1\r\n",
      "GET /c HTTP/1.1");
  REQUIRE(out.fault == 0);
  std::string names;
  for (const auto& field : out.head.headers) names += std::string{field.name} + " ";
  CHECK(names == "Host X-A X-Keep X-A Max-Forwards Under_score ");
}

TEST_CASE("framing: what may not be nominated") {
  auto out = request(
      "Connection: Host, X-Forwarded-For, X-Forwarded-Proto, Forwarded, Content-Type, "
      "X-Request-Id, "
      "X-Real-IP, traceparent, X-Amzn-Trace-Id, Via, Cookie\r\nX-Forwarded-For: 1\r\nForwarded: "
      "f\r\n"
      "Content-Type: t\r\nCookie: a=b\r\nX-Request-Id: 1\r\nVia: v\r\n");
  REQUIRE(out.fault == 0);
  for (const HeaderId id : {HeaderId::kHost, HeaderId::kXForwardedFor, HeaderId::kForwarded,
                            HeaderId::kContentType, HeaderId::kXRequestId, HeaderId::kVia}) {
    CHECK(out.head.headers.has(id));
  }
  CHECK_FALSE(out.head.headers.has(HeaderId::kCookie));
  CHECK(request("Connection: Content-Length\r\nContent-Length: 5\r\n").fault == 400);
  CHECK(request("Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n").fault ==
        400);
}

TEST_CASE("framing: a long list of connection options is refused") {
  std::string list = "Connection: a0";
  for (int i = 1; i < 64; ++i) list += ",a" + std::to_string(i);
  CHECK(request(list + "\r\n").fault == 0);
  CHECK(request(list + "\r\nConnection: b\r\n").fault == 400);
}

TEST_CASE("framing: Expect") {
  auto waits = request("Expect: 100-CONTINUE\r\nContent-Length: 5\r\n");
  CHECK(waits.head.expects_continue);
  CHECK_FALSE(waits.head.headers.has(HeaderId::kExpect));
  CHECK(request("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n").head.expects_continue);
  // Nothing to wait for.
  CHECK_FALSE(request("Expect: 100-continue\r\n").head.expects_continue);
  auto old = request("Expect: 100-continue\r\nContent-Length: 5\r\n", "POST /c HTTP/1.0");
  CHECK(old.fault == 0);
  CHECK_FALSE(old.head.expects_continue);
  CHECK_FALSE(old.head.headers.has(HeaderId::kExpect));
  for (const std::string_view value : {"something-else", "x 100-continue", "", "100-continue, x"}) {
    CAPTURE(value);
    CHECK(request("Expect: " + std::string{value} + "\r\nContent-Length: 5\r\n").fault == 417);
  }
}

TEST_CASE("framing: TRACE has no body") {
  CHECK(request("Content-Length: 5\r\n", "TRACE /c HTTP/1.1").fault == 400);
  CHECK(request("Transfer-Encoding: chunked\r\n", "TRACE /c HTTP/1.1").fault == 400);
  CHECK(request("Content-Length: 0\r\n", "TRACE /c HTTP/1.1").fault == 0);
}

TEST_CASE("framing: a WebSocket's opening is one with a key, by GET, in HTTP/1.1") {
  const auto asked = [](std::string_view fields, std::string_view line = "GET /c HTTP/1.1") {
    const auto out = request(fields, line);
    CHECK(out.fault == 0);
    CHECK_FALSE(out.head.headers.has(HeaderId::kUpgrade));
    return std::string{out.head.upgrade};
  };
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  CHECK(asked(key + "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n") == "WebSocket");
  CHECK(asked("Connection: Upgrade\r\nUpgrade: websocket\r\n").empty());
  CHECK(asked("Sec-WebSocket-Key:\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n").empty());
  CHECK(asked(key + "Upgrade: websocket\r\n").empty());
  const std::string opening = key + "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  CHECK(asked(opening) == "websocket");
  CHECK(asked(opening + "Upgrade: h2c\r\n").empty());
  CHECK(asked(opening, "GET /c HTTP/1.0").empty());
  CHECK(asked(opening, "POST /c HTTP/1.1").empty());
  CHECK(asked(opening + "Content-Length: 5\r\n").empty());
}

TEST_CASE("framing: another protocol is offered by its name, unless it carries requests") {
  const auto asked = [](std::string_view offer, std::string_view line = "GET /c HTTP/1.1") {
    const auto out =
        request("Connection: Upgrade\r\nUpgrade: " + std::string(offer) + "\r\n", line);
    CHECK(out.fault == 0);
    CHECK_FALSE(out.head.headers.has(HeaderId::kUpgrade));
    return std::string{out.head.upgrade};
  };
  CHECK(asked("SPDY/3.1") == "SPDY/3.1");
  CHECK(asked("tcp", "POST /c HTTP/1.1") == "tcp");
  for (const char* no : {"h2c", "H2C", "h2c/1", "HTTP/2.0", "TLS/1.0", "tcp, h2c", "websocket, h2c",
                         "tcp,", "a b", "/1", "tcp/", "tcp/1/2", ""}) {
    CAPTURE(no);
    CHECK(asked(no).empty());
  }
  CHECK(asked("tcp", "HEAD /c HTTP/1.1").empty());
}

TEST_CASE("framing: a response's body") {
  auto length = response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n");
  CHECK(length.framing.body == BodyFraming::kLength);
  CHECK(length.head.body.length == 5);
  CHECK(length.framing.keep_alive);
  auto zero = response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
  CHECK(zero.framing.body == BodyFraming::kNone);
  CHECK(zero.head.body.kind == BodySize::Kind::kExact);
  auto chunked = response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
  CHECK(chunked.framing.body == BodyFraming::kChunked);
  auto close = response("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n");
  CHECK(close.framing.body == BodyFraming::kUntilClose);
  CHECK_FALSE(close.framing.keep_alive);
  CHECK(response("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n").head.body.length == 5);
  CHECK(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n").fault == 0);
  CHECK_FALSE(response("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n").framing.keep_alive);
  CHECK(response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n")
            .framing.keep_alive);
}

TEST_CASE("framing: responses without a body, whatever their fields say") {
  auto head = response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "HEAD");
  CHECK(head.framing.body == BodyFraming::kNone);
  CHECK(head.head.declared_length == 5u);
  CHECK(head.head.body.is_none());
  auto head_chunked = response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "HEAD");
  CHECK(head_chunked.framing.body == BodyFraming::kNone);
  CHECK(head_chunked.framing.keep_alive);
  CHECK(head_chunked.head.headers.empty());
  auto unframed = response("HTTP/1.1 200 OK\r\n", "HEAD");
  CHECK(unframed.framing.keep_alive);
  auto not_modified = response("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n");
  CHECK(not_modified.framing.body == BodyFraming::kNone);
  CHECK(not_modified.head.declared_length == 5u);
  CHECK(not_modified.framing.keep_alive);
  auto empty = response("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n");
  CHECK(empty.framing.body == BodyFraming::kNone);
  CHECK_FALSE(empty.head.declared_length);
  CHECK_FALSE(empty.framing.keep_alive);  // the body may be coming all the same
  CHECK(response("HTTP/1.1 204 No Content\r\n").framing.keep_alive);
  auto early = response("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\nLink: </a>\r\n");
  CHECK(early.framing.body == BodyFraming::kNone);
  CHECK(early.head.headers.size() == 1);
}

TEST_CASE("framing: responses that cannot be framed are refused") {
  for (const std::string_view fields :
       {"Content-Length: -5\r\n", "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 5.0\r\n", "Content-Length: 5\xa0\r\n", "Content-Length:\r\n",
        "Content-Length: 5, 6\r\n", "Content-Length: 5,\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: chunked\xa0\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    CAPTURE(fields);
    CHECK(response("HTTP/1.1 200 OK\r\n" + std::string{fields}).fault == 502);
    CHECK(response("HTTP/1.1 200 OK\r\n" + std::string{fields}, "HEAD").fault == 502);
  }
  CHECK(response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n").fault == 502);
}

TEST_CASE("framing: 101 only to what was asked") {
  const std::string head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
  CHECK(response(head + "Upgrade: websocket\r\n").fault == 502);
  CHECK(response(head + "Upgrade: other\r\n", "GET", "websocket").fault == 502);
  CHECK(response(head, "GET", "websocket").fault == 502);
  CHECK(response("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n", "GET", "websocket").fault == 502);
  auto fits = response(head + "Upgrade: WebSocket\r\nX: y\r\n", "GET", "websocket");
  CHECK(fits.fault == 0);
  CHECK(fits.head.upgrade == "WebSocket");
  CHECK(fits.head.headers.size() == 1);
  auto declined = response("HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\n");
  CHECK(declined.fault == 0);
  CHECK(declined.head.upgrade.empty());
  CHECK(declined.head.headers.empty());
}

TEST_CASE("framing: trailers that frame, route or authenticate are dropped") {
  Headers trailers;
  for (const std::string_view name : {"X-Sum",
                                      "ETag",
                                      "Digest",
                                      "grpc-status",
                                      "Server-Timing",
                                      "Transfer-Encoding",
                                      "Host",
                                      "Content-Length",
                                      "Content-Type",
                                      "Content-MD5",
                                      "Authorization",
                                      "Set-Cookie",
                                      "Cookie",
                                      "Cookie2",
                                      "X-Forwarded-For",
                                      "X-Forwarded-User",
                                      "Cache-Control",
                                      "Connection",
                                      "Trailer",
                                      "Range",
                                      "If-None-Match",
                                      "X_Sum",
                                      "Proxy-Foo",
                                      "Proxy",
                                      "TE",
                                      "Expect",
                                      "Location",
                                      "Set-Cookie2",
                                      "Pragma",
                                      "X-Accel-Redirect",
                                      "X-Accel-Expires",
                                      "Max-Forwards"}) {
    trailers.add(name, "v");
  }
  keep_only_trailer_fields(trailers);
  std::string names;
  for (const auto& field : trailers) names += std::string{field.name} + " ";
  CHECK(names == "X-Sum ETag Digest grpc-status Server-Timing ");
}

// -- parser, framing and decoder together, at once and in pieces --

namespace {

void check_refused(std::string_view bytes, size_t before = 0) {
  for (const size_t step : {0, 1, 2, 7}) {
    CAPTURE(bytes);
    CAPTURE(step);
    const auto played = play_requests(bytes, step);
    CHECK(played.fault.status != 0);
    CHECK(played.requests.size() == before);
  }
}

}  // namespace

TEST_CASE("smuggling: the classic pairs never yield a second request") {
  const std::string start = "POST /c HTTP/1.1\r\nHost: example.com\r\n";
  const std::string tail = "\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: example.com\r\nX-Y: z";
  for (const std::string_view te :
       {"Transfer-Encoding: chunked", "Transfer-Encoding: xchunked",
        "Transfer-Encoding:\x0b"
        "chunked",
        "Transfer-Encoding: \x0c"
        "chunked",
        "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", "Transfer Encoding: chunked",
        "Transfer-Encoding: chunked\r", "Transfer\\Encoding: chunked",
        "Transfer-Encoding x: chunked", "\x01Transfer-Encoding: chunked",
        "Transfer-Encoding\xa0: chunked", "Transfer-Encoding:\n chunked",
        "Transfer-Encoding:\r\n chunked", "X-X: y\nTransfer-Encoding: chunked",
        "X-X: y\r\n Transfer-Encoding: chunked", "Transfer-Encoding: , chunked",
        "Transfer-Encoding\r: chunked", "Transfer-Encoding: \"chunked\""}) {
    check_refused(start + "Content-Length: 54\r\n" + std::string{te} + "\r\n" + tail);
  }
}

TEST_CASE("pipeline: bodies end where they end") {
  const std::string host = " HTTP/1.1\r\nHost: example.com\r\n";
  const std::string inner = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n";
  const std::string bytes = "POST /1" + host + "Content-Length: 45\r\n\r\n" + inner +
                            "\r\nPOST /2" + host + "Transfer-Encoding: chunked\r\n\r\n2d;a=b\r\n" +
                            inner + "\r\n0\r\nX-T: 1\r\n\r\nGET /3" + host + "\r\n" + "GET /4" +
                            host + "Connection: close\r\n\r\n" + inner;
  REQUIRE(inner.size() == 45);
  for (const size_t step : {0, 1, 3, 64}) {
    CAPTURE(step);
    auto played = play_requests(bytes, step);
    CHECK(played.fault.status == 0);
    REQUIRE(played.requests.size() == 4);
    CHECK(played.requests[0].body == inner);
    CHECK(played.requests[1].body == inner);
    CHECK(played.requests[1].trailers.get("x-t") == "1");
    CHECK(played.requests[2].head.target == "/3");
    CHECK_FALSE(played.requests[2].head.headers.has(HeaderId::kContentLength));
    CHECK_FALSE(played.requests[3].framing.keep_alive);
  }
}

TEST_CASE("pipeline: a fault after good requests leaves those alone") {
  const std::string good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  check_refused(good + good + "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 2);
  check_refused(good + "BAD\r\n\r\n", 1);
}
