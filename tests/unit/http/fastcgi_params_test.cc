#include "proxy/http/fastcgi_params.h"

#include <doctest/doctest.h>

#include "tests/unit/http/client_rig.h"
#include "tests/unit/http/fastcgi_wire.h"

namespace sluice::http {
namespace {

using testing::FastcgiRead;
using testing::read_fastcgi;
using testing::request;

FastcgiRead begin_of(const RequestHead& head, const config::Fastcgi& settings = {}) {
  Chain out;
  REQUIRE(write_fastcgi_begin(head, settings, out));
  auto read = read_fastcgi(out.to_string());
  REQUIRE(read);
  CHECK(read->begins == 1);
  CHECK(read->params_end);
  CHECK(read->stdin_records == 0);
  return std::move(*read);
}

config::Fastcgi php() {
  config::Fastcgi settings;
  settings.root = "/app/public";
  return settings;
}

}  // namespace

TEST_CASE("fastcgi_params: the variables of a request") {
  RequestHead head = request("POST", "/a%20b/../c?x=%31&y", BodySize::exactly(12));
  head.authority = "example.com:8080";
  head.secure = true;
  head.origin = {"10.1.2.3", 4567, "10.0.0.1", 8443, {}};
  head.headers.add("Host", "example.com:8080");
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("User-Agent", "curl");
  head.headers.add("Connection", "x");
  head.headers.add("X_A", "evil");
  head.headers.add("X-A", "1");
  head.headers.add("x-a", "2");
  const FastcgiRead read = begin_of(head);
  const std::pair<std::string_view, std::string_view> wanted[] = {
      {"QUERY_STRING", "x=%31&y"},
      {"REQUEST_METHOD", "POST"},
      {"CONTENT_TYPE", "text/plain"},
      {"CONTENT_LENGTH", "12"},
      {"REQUEST_URI", "/a%20b/../c?x=%31&y"},
      {"SERVER_PROTOCOL", "HTTP/1.1"},
      {"REQUEST_SCHEME", "https"},
      {"HTTPS", "on"},
      {"REMOTE_ADDR", "10.1.2.3"},
      {"REMOTE_PORT", "4567"},
      {"SERVER_ADDR", "10.0.0.1"},
      {"SERVER_PORT", "8443"},
      {"SERVER_NAME", "example.com"},
      {"HTTP_HOST", "example.com:8080"},
      {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"SERVER_SOFTWARE", "sluice"},
      {"SCRIPT_NAME", ""},
      {"PATH_INFO", "/a b/../c"},
      {"DOCUMENT_ROOT", ""},
      {"HTTP_USER_AGENT", "curl"},
      {"HTTP_X_A", "1, 2"},
  };
  for (const auto& one : wanted) {
    CAPTURE(one.first);
    CHECK(read.get(one.first) == one.second);
  }
  CHECK(read.vars.size() == std::size(wanted));
  CHECK_FALSE(read.keeps);
}

TEST_CASE("fastcgi_params: which script a path means") {
  struct Case {
    std::string_view target;
    std::string_view name;
    std::string_view rest;
  };
  const Case cases[] = {
      {"/a.php", "/a.php", ""},
      {"/a.php?x=/b.php/c", "/a.php", ""},
      {"/a/b.php/c/d", "/a/b.php", "/c/d"},
      {"/a.php/b.php/c", "/a.php", "/b.php/c"},
      {"/a.phpx/b", "/index.php", ""},
      {"/a.php.jpg", "/index.php", ""},
      {"/a.php.php", "/a.php.php", ""},
      {"/", "/index.php", ""},
      {"/blog/2024", "/index.php", ""},
      {"/x/../../a.php", "/a.php", ""},
      {"/%2e%2e/%61.php/%20", "/a.php", "/ "},
      {"//a//b.php", "/a/b.php", ""},
      {"/..%2fa.php", "/..%2Fa.php", ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.target);
    const FastcgiRead read = begin_of(request("GET", one.target), php());
    CHECK(read.get("SCRIPT_NAME") == one.name);
    CHECK(read.get("PATH_INFO") == one.rest);
    CHECK(read.get("SCRIPT_FILENAME") == "/app/public" + std::string(one.name));
    CHECK(read.get("DOCUMENT_ROOT") == "/app/public");
    CHECK(read.get("REQUEST_URI") == one.target);
    CHECK(read.get("REDIRECT_STATUS") == "200");
  }
  config::Fastcgi settings = php();
  settings.index.clear();
  CHECK(begin_of(request("GET", "/status"), settings).get("SCRIPT_NAME") == "/status");
  settings.split.clear();
  CHECK(begin_of(request("GET", "/a.php/b"), settings).get("SCRIPT_NAME") == "/a.php/b");
  settings.index = "main.fcgi";
  CHECK(begin_of(request("GET", "/a.php"), settings).get("SCRIPT_NAME") == "/main.fcgi");
  CHECK(begin_of(request("GET", "/a.php")).get("SCRIPT_FILENAME") == "(none)");
}

TEST_CASE("fastcgi_params: what is configured comes once, and instead") {
  config::Fastcgi settings = php();
  settings.params = {{"APP_ENV", "prod"},
                     {"SCRIPT_FILENAME", "/other.php"},
                     {"HTTPS", ""},
                     {"SERVER_SOFTWARE", "secret"}};
  settings.keep = true;
  RequestHead head = request("GET", "/");
  head.secure = true;
  head.headers.add("App-Env", "evil");
  const FastcgiRead read = begin_of(head, settings);
  CHECK(read.keeps);
  CHECK(read.get("APP_ENV") == "prod");
  CHECK(read.get("HTTP_APP_ENV") == "evil");
  CHECK(read.get("SCRIPT_FILENAME") == "/other.php");
  CHECK(read.get("HTTPS").empty());
  CHECK(read.get("SERVER_SOFTWARE") == "secret");
}

TEST_CASE("fastcgi_params: sizes of one and of four bytes") {
  for (const size_t size : {0, 1, 121, 122, 123, 127, 128, 129, 256, 300}) {
    CAPTURE(size);
    RequestHead head = request("GET", "/");
    head.headers.add("A" + std::string(size, 'b'), std::string(size, 'v'));
    CHECK(begin_of(head).get("HTTP_A" + std::string(size, 'B')) == std::string(size, 'v'));
  }
}

TEST_CASE("fastcgi_params: a variable stays in one record, many take several") {
  RequestHead head = request("GET", "/");
  for (int i = 0; i < 30; ++i) {
    head.headers.add("X-" + std::to_string(i),
                     std::string(10'000, static_cast<char>('a' + i % 26)));
  }
  const FastcgiRead read = begin_of(head);
  CHECK(read.params_records == 5);
  for (int i = 0; i < 30; ++i) {
    CHECK(read.get("HTTP_X_" + std::to_string(i)) ==
          std::string(10'000, static_cast<char>('a' + i % 26)));
  }
}

TEST_CASE("fastcgi_params: a variable that fits no record is the client's fault") {
  const size_t room = 65535 - 1 - 4 - std::string_view("HTTP_A").size();
  RequestHead fits = request("GET", "/");
  fits.headers.add("A", std::string(room, 'a'));
  CHECK(begin_of(fits).get("HTTP_A").size() == room);
  RequestHead head = request("GET", "/");
  head.headers.add("A", std::string(room + 1, 'a'));
  Chain out;
  const auto written = write_fastcgi_begin(head, {}, out);
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::kTooLarge);
  CHECK(written.error().side == Side::kClient);
  CHECK(out.empty());
}

TEST_CASE("fastcgi_params: paths that are refused") {
  for (const std::string_view target : {"/%00", "/a%", "/a%2", "/%zz", "/a.php%00.jpg"}) {
    for (const auto& settings : {config::Fastcgi{}, php()}) {
      CAPTURE(target);
      Chain out;
      const auto written = write_fastcgi_begin(request("GET", target), settings, out);
      REQUIRE_FALSE(written);
      CHECK(written.error().code == ErrorCode::kMalformed);
      CHECK(written.error().side == Side::kClient);
      CHECK(out.empty());
    }
  }
}

}  // namespace sluice::http
