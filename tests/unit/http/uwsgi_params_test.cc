#include "proxy/http/uwsgi_params.h"

#include <doctest/doctest.h>

#include "tests/unit/http/client_rig.h"
#include "tests/unit/http/uwsgi_packet.h"

namespace sluice::http {
namespace {

using testing::read_uwsgi;
using testing::request;
using testing::UwsgiRead;

UwsgiRead packet_of(const RequestHead& head) {
  Chain out;
  const auto packet = write_uwsgi_packet(head, out);
  REQUIRE(packet);
  CHECK(out.size() == packet->size + 4);
  auto read = read_uwsgi(out.to_string());
  REQUIRE(read);
  CHECK(read->vars.size() == packet->pairs);
  return std::move(*read);
}

TEST_CASE("uwsgi_params: the variables of a request") {
  RequestHead head = request("POST", "/a%20b/../c?x=%31&y", BodySize::exactly(12));
  head.authority = "example.com:8080";
  head.secure = true;
  head.origin = {"10.1.2.3", 4567, "10.0.0.1", 8443, {}};
  head.headers.add("Host", "example.com:8080");
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("User-Agent", "curl");
  head.headers.add("X-Forwarded-Proto", "https");
  const UwsgiRead read = packet_of(head);
  CHECK(read.get("QUERY_STRING") == "x=%31&y");
  CHECK(read.get("REQUEST_METHOD") == "POST");
  CHECK(read.get("CONTENT_TYPE") == "text/plain");
  CHECK(read.get("CONTENT_LENGTH") == "12");
  CHECK(read.get("REQUEST_URI") == "/a%20b/../c?x=%31&y");
  CHECK(read.get("PATH_INFO") == "/a b/../c");
  CHECK(read.get("DOCUMENT_ROOT").empty());
  CHECK(read.get("SERVER_PROTOCOL") == "HTTP/1.1");
  CHECK(read.get("REQUEST_SCHEME") == "https");
  CHECK(read.get("HTTPS") == "on");
  CHECK(read.get("REMOTE_ADDR") == "10.1.2.3");
  CHECK(read.get("REMOTE_PORT") == "4567");
  CHECK(read.get("SERVER_ADDR") == "10.0.0.1");
  CHECK(read.get("SERVER_PORT") == "8443");
  CHECK(read.get("SERVER_NAME") == "example.com");
  CHECK(read.get("HTTP_HOST") == "example.com:8080");
  CHECK(read.get("HTTP_USER_AGENT") == "curl");
  CHECK(read.get("HTTP_X_FORWARDED_PROTO") == "https");
  CHECK(read.get("HTTP_CONNECTION") == "close");
  CHECK(read.get("HTTP_CONTENT_TYPE") == "(none)");
  CHECK(read.vars.size() == 19);
}

TEST_CASE("uwsgi_params: what a bare request leaves empty") {
  RequestHead head = request("GET", "/");
  head.version = Version::kHttp10;
  head.authority = {};
  const UwsgiRead read = packet_of(head);
  CHECK(read.get("CONTENT_LENGTH").empty());
  CHECK(read.get("CONTENT_TYPE").empty());
  CHECK(read.get("QUERY_STRING").empty());
  CHECK(read.get("SERVER_PROTOCOL") == "HTTP/1.0");
  CHECK(read.get("REQUEST_SCHEME") == "http");
  CHECK(read.get("HTTPS") == "(none)");
  CHECK(read.get("HTTP_HOST") == "(none)");
  CHECK(read.get("SERVER_NAME").empty());
}

TEST_CASE("uwsgi_params: the server's name is the host without its port, unless it has one") {
  RequestHead head = request("GET", "/");
  for (const auto& [authority, name] :
       {std::pair{"a.b:1", "a.b"}, std::pair{"a.b", "a.b"}, std::pair{"[::1]:80", "[::1]"},
        std::pair{"[::1]", "[::1]"}}) {
    head.authority = authority;
    CHECK(packet_of(head).get("SERVER_NAME") == name);
  }
  head.origin.server_name = "own";
  CHECK(packet_of(head).get("SERVER_NAME") == "own");
}

TEST_CASE("uwsgi_params: repeated fields are one variable") {
  RequestHead head = request("GET", "/");
  head.headers.add("X-A", "1");
  head.headers.add("Cookie", "a=1");
  head.headers.add("x-a", "2");
  head.headers.add("Accept", "x");
  head.headers.add("cookie", "b=2");
  head.headers.add("X-A", "");
  head.headers.add("ACCEPT", "y");
  const UwsgiRead read = packet_of(head);
  CHECK(read.get("HTTP_X_A") == "1, 2, ");
  CHECK(read.get("HTTP_COOKIE") == "a=1; b=2");
  CHECK(read.get("HTTP_ACCEPT") == "x, y");
}

TEST_CASE("uwsgi_params: a client cannot name a variable") {
  RequestHead head = request("GET", "/");
  for (const std::string_view name :
       {"REMOTE_USER", "Remote_User", "SCRIPT_NAME", "UWSGI_FILE", "X_A", "Proxy", "X.A", "X~A",
        "Connection", "Transfer-Encoding", "Expect", "Content-Length", "Keep-Alive", "TE",
        "Upgrade", "Trailer", "Proxy-Connection"}) {
    head.headers.add(name, "evil");
  }
  head.headers.add("Remote-User", "polite");  // HTTP_REMOTE_USER is nobody's REMOTE_USER
  head.headers.add("Uwsgi-File", "x");
  const UwsgiRead read = packet_of(head);
  for (const auto& variable : read.vars) {
    CAPTURE(variable.first);
    CHECK(variable.second != "evil");
    CHECK_FALSE(variable.first.starts_with("UWSGI_"));
  }
  CHECK(read.get("REMOTE_USER") == "(none)");
  CHECK(read.get("SCRIPT_NAME") == "(none)");
  CHECK(read.get("HTTP_PROXY") == "(none)");
  CHECK(read.get("HTTP_REMOTE_USER") == "polite");
  CHECK(read.get("HTTP_UWSGI_FILE") == "x");
  CHECK(read.get("CONTENT_LENGTH").empty());
}

TEST_CASE("uwsgi_params: paths that are refused") {
  for (const std::string_view target : {"/%00", "/a%", "/a%2", "/%zz", "/%-1"}) {
    CAPTURE(target);
    Chain out;
    const auto packet = write_uwsgi_packet(request("GET", target), out);
    REQUIRE_FALSE(packet);
    CHECK(packet.error().code == ErrorCode::kMalformed);
    CHECK(packet.error().side == Side::kClient);
    CHECK(out.empty());
  }
  CHECK(packet_of(request("OPTIONS", "*")).get("PATH_INFO") == "*");
  CHECK(packet_of(request("GET", "//a/./%2e%2e%2fb?%00")).get("PATH_INFO") == "//a/./../b");
}

TEST_CASE("uwsgi_params: a block has 65535 bytes at most") {
  RequestHead head = request("GET", "/");
  Chain empty;
  const size_t bare = write_uwsgi_packet(head, empty)->size;
  const size_t room = 65535 - bare - 4 - std::string_view("HTTP_A").size();
  SUBCASE("exactly") {
    head.headers.add("A", std::string(room, 'a'));
    CHECK(packet_of(head).get("HTTP_A").size() == room);
  }
  SUBCASE("one more") {
    head.headers.add("A", std::string(room + 1, 'a'));
    Chain out;
    const auto packet = write_uwsgi_packet(head, out);
    REQUIRE_FALSE(packet);
    CHECK(packet.error().code == ErrorCode::kTooLarge);
    CHECK(packet.error().side == Side::kClient);
    CHECK(packet.error().detail == "uwsgi block");
    CHECK(out.empty());
  }
}

}  // namespace
}  // namespace sluice::http
