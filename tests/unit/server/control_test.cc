// The control thread's server and the subcommands' client, over a unix socket and over TCP.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/server/control_client.h"
#include "proxy/server/control_server.h"
#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using server::ControlAnswer;
using server::ControlAnswerText;
using server::ControlReply;
using server::ControlServer;

namespace {

struct Rig {
  explicit Rig(bool over_tcp = false) {
    auto socket =
        net::ListenSocket::open(over_tcp ? loopback() : unix_path(folder / "a.sock"), 128).value();
    const auto port = socket.local().ip_port().port;
    address = over_tcp ? loopback(port) : unix_path(folder / "a.sock");
    control = std::make_unique<ControlServer>(
        rounds.loop(), std::move(socket),
        [this](std::string_view method, std::string_view path, ControlAnswer answer) {
          asked.push_back(std::string(method) + " " + std::string(path));
          if (path == "/later") {
            later = std::move(answer);
          } else {
            answer({path == "/" ? 200 : 404, "well: " + std::string(path) + "\n"});
          }
        });
    REQUIRE(control->start());
  }
  // The client blocks, so it has a thread; `meanwhile` is what happens until it has its answer.
  Result<ControlAnswerText> ask(
      std::string_view method, std::string_view path,
      const std::function<void()>& meanwhile = [] {}) {
    Result<ControlAnswerText> result;
    std::atomic<bool> done{false};
    std::thread client([&] {
      result = server::ask(address, method, path, 20s);
      done = true;
    });
    const bool answered = rounds.until([&] {
      meanwhile();
      return done.load();
    });
    client.join();
    CHECK(answered);
    return result;
  }

  Folder folder;
  Rounds rounds;
  config::Address address;
  std::vector<std::string> asked;
  ControlAnswer later;
  std::unique_ptr<ControlServer> control;
};

}  // namespace

TEST_CASE("control: an order and its verdict, over either socket") {
  for (const bool over_tcp : {false, true}) {
    Rig rig(over_tcp);
    const auto well = rig.ask("POST", "/");
    REQUIRE(well);
    CHECK(well->status == 200);
    CHECK(well->body == "well: /\n");
    const auto unknown = rig.ask("GET", "/other");
    REQUIRE(unknown);
    CHECK(unknown->status == 404);
    CHECK(rig.asked == std::vector<std::string>{"POST /", "GET /other"});
  }
}

TEST_CASE("control: a verdict may come later") {
  Rig rig;
  const auto answer = rig.ask("POST", "/later", [&rig] {
    if (rig.later) std::exchange(rig.later, nullptr)({503, "refused\n"});
  });
  REQUIRE(answer);
  CHECK(answer->status == 503);
  CHECK(answer->body == "refused\n");
}

TEST_CASE("control: HEAD has no body") {
  Rig rig;
  const auto answer = rig.ask("HEAD", "/");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body.empty());
}

TEST_CASE("control: a verdict for a client that left is nobody's") {
  Rig rig;
  {
    const Fd client = connecting(net::SocketAddress::from(rig.address).value());
    say(client.get(), "POST /later HTTP/1.1\r\nHost: x\r\n\r\n");
    REQUIRE(rig.rounds.until([&rig] { return rig.later != nullptr; }));
  }
  rig.rounds.settle();
  rig.later({200, "nobody reads this"});
  rig.rounds.settle();
  CHECK(rig.ask("GET", "/"));
}

TEST_CASE("control: a verdict after the server has gone is nobody's") {
  Rig rig;
  const Fd client = connecting(net::SocketAddress::from(rig.address).value());
  say(client.get(), "POST /later HTTP/1.1\r\nHost: x\r\n\r\n");
  REQUIRE(rig.rounds.until([&rig] { return rig.later != nullptr; }));
  rig.control.reset();
  rig.rounds.settle();
  rig.later({200, "nobody reads this"});
  rig.rounds.settle();
  CHECK(has_ended(client.get()));
}

TEST_CASE("control: connections have a ceiling, and room comes back") {
  Rig rig(true);
  const auto to = net::SocketAddress::from(rig.address).value();
  std::vector<Fd> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(connecting(to));
  for (const Fd& client : clients) say(client.get(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  REQUIRE(rig.rounds.until([&rig] { return rig.asked.size() == 64; }));
  const Fd one_too_many = connecting(to);
  CHECK(rig.rounds.until([&one_too_many] { return has_ended(one_too_many.get()); }));
  clients.clear();
  rig.rounds.settle();
  CHECK(rig.ask("GET", "/"));
}

TEST_CASE("control: nobody there, and nobody who answers") {
  const Folder folder;
  const auto missing = server::ask(unix_path(folder / "missing.sock"), "GET", "/", 1s);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kNotFound);
  const auto silent = listening();
  const auto late = server::ask(loopback(silent.local().ip_port().port), "GET", "/", 5ms);
  REQUIRE_FALSE(late);
  CHECK(late.error().code == ErrorCode::kTimeout);
}
