#include "proxy/server/fetch.h"

#include <memory>
#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using server::Fetch;
using server::FetchAnswer;
using server::FetchRequest;

namespace {

struct Rig {
  FetchRequest request() {
    FetchRequest made;
    made.address = loopback(origin.local().ip_port().port);
    made.host = "agent";
    made.target = "/config?x=1";
    made.headers = {{"If-None-Match", "\"7\""}};
    return made;
  }
  void begin(FetchRequest asked) {
    fetch =
        std::make_unique<Fetch>(rounds.loop(), std::move(asked), [this](Result<FetchAnswer> said) {
          ++told;
          result = std::move(said);
          fetch.reset();  // allowed from here
        });
  }
  // What the origin was asked, whole.
  std::string asked() {
    REQUIRE(rounds.until([this] {
      if (!served.is_open()) served = accepted(origin);
      char room[4096];
      const ssize_t n = served.is_open() ? ::recv(served.get(), room, sizeof room, 0) : -1;
      if (n > 0) text.append(room, static_cast<size_t>(n));
      return text.find("\r\n\r\n") != std::string::npos;
    }));
    return text;
  }
  void say(const std::string& bytes) { (void)::send(served.get(), bytes.data(), bytes.size(), 0); }
  bool is_told() {
    return rounds.until([this] { return told > 0; });
  }

  Rounds rounds;
  net::ListenSocket origin = listening();
  Fd served;
  std::string text;
  int told = 0;
  std::optional<Result<FetchAnswer>> result;
  std::unique_ptr<Fetch> fetch;
};

}  // namespace

TEST_CASE("fetch: a request and its whole answer") {
  Rig rig;
  rig.begin(rig.request());
  const std::string asked = rig.asked();
  CHECK(asked.rfind("GET /config?x=1 HTTP/1.1\r\n", 0) == 0);
  CHECK(asked.find("\r\nHost: agent\r\n") != std::string::npos);
  CHECK(asked.find("\r\nIf-None-Match: \"7\"\r\n") != std::string::npos);
  rig.say("HTTP/1.1 200 OK\r\nETag: \"8\"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  rig.rounds.settle();
  CHECK(rig.told == 0);
  rig.say("2\r\nde\r\n0\r\n\r\n");
  REQUIRE(rig.is_told());
  REQUIRE(*rig.result);
  CHECK((*rig.result)->status == 200);
  CHECK((*rig.result)->etag == "\"8\"");
  CHECK((*rig.result)->body == "abcde");
}

TEST_CASE("fetch: an answer without a body, and one that ends with its connection") {
  Rig rig;
  rig.begin(rig.request());
  rig.asked();
  SUBCASE("304") {
    rig.say("HTTP/1.1 304 Not Modified\r\n\r\n");
    REQUIRE(rig.is_told());
    REQUIRE(*rig.result);
    CHECK((*rig.result)->status == 304);
  }
  SUBCASE("until close") {
    rig.say("HTTP/1.0 200 OK\r\n\r\nall of it");
    rig.served.reset();
    REQUIRE(rig.is_told());
    REQUIRE(*rig.result);
    CHECK((*rig.result)->body == "all of it");
  }
}

TEST_CASE("fetch: what goes wrong is said once") {
  Rig rig;
  auto request = rig.request();
  SUBCASE("nobody listens") {
    {
      const auto gone = listening();
      request.address = loopback(gone.local().ip_port().port);
    }
    rig.begin(std::move(request));
  }
  SUBCASE("no address") {
    request.address.host_or_path = "a name";
    rig.begin(std::move(request));
    CHECK(rig.told == 0);  // never from inside the call
  }
  SUBCASE("cut") {
    rig.begin(std::move(request));
    rig.asked();
    rig.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    rig.served.reset();
  }
  SUBCASE("no HTTP") {
    rig.begin(std::move(request));
    rig.asked();
    rig.say("what?\r\n\r\n");
  }
  SUBCASE("too large") {
    request.most = 4;
    rig.begin(std::move(request));
    rig.asked();
    rig.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");
  }
  SUBCASE("too late") {
    rig.begin(std::move(request));
    rig.asked();
    rig.rounds.pass(11s);
  }
  REQUIRE(rig.is_told());
  CHECK_FALSE(*rig.result);
  rig.rounds.settle();
  CHECK(rig.told == 1);
}

TEST_CASE("fetch: abandoned, it says nothing, wherever it stands") {
  Rig rig;
  rig.begin(rig.request());
  SUBCASE("dialling") {}
  SUBCASE("asking") {
    rig.asked();
  }
  SUBCASE("in the body") {
    rig.asked();
    rig.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    rig.rounds.settle();
  }
  rig.fetch.reset();
  rig.rounds.settle();
  rig.rounds.pass(1min);
  CHECK(rig.told == 0);
}

TEST_CASE("fetch: a URL says where") {
  const auto request = server::fetch_of("http://localhost:2772/applications/a?b=c");
  REQUIRE(request);
  CHECK(request->address.host_or_path == "127.0.0.1");
  CHECK(request->address.port == 2772);
  CHECK(request->host == "localhost:2772");
  CHECK(request->target == "/applications/a?b=c");
  CHECK_FALSE(server::fetch_of("https://127.0.0.1/"));
  CHECK_FALSE(server::fetch_of("http://example.com/"));
}
