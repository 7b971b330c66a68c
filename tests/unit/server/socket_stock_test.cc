#include "proxy/server/socket_stock.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using server::Channel;
using server::Message;
using server::SocketStock;
using server::Word;

namespace {

// A stock, and what its supervisor hears.
struct Rig {
  std::pair<Channel, Channel> ends = Channel::make().value();
  SocketStock stock{ends.first};

  std::vector<std::string> heard(Word word) {
    std::vector<std::string> texts;
    Message message;
    Fd with;
    while (ends.second.receive(message, with) == Channel::Got::kMessage) {
      REQUIRE(message.word == word);
      CHECK(with.is_open() == (word == Word::kSocket));
      texts.emplace_back(message.text());
    }
    return texts;
  }
};

}  // namespace

TEST_CASE("socket_stock: the supervisor gets what is opened, once we serve, and hears of its end") {
  Rig rig;
  std::optional<net::ListenSocket> socket = rig.stock.open("listener", loopback(), 16).value();
  const std::string name = "listener\t127.0.0.1:0\t" + socket->local().text();
  CHECK(rig.heard(Word::kSocket).empty());
  CHECK(rig.stock.begin_serving().empty());
  CHECK(rig.heard(Word::kSocket) == std::vector{name});
  socket.reset();
  CHECK(rig.heard(Word::kSocketGone) == std::vector{name});
  socket = rig.stock.open("metrics", loopback(), 16).value();  // a reload
  CHECK(rig.heard(Word::kSocket).size() == 1);
}

TEST_CASE("socket_stock: a start that fails says nothing, so nothing is lost with it") {
  Rig rig;
  rig.stock.add("listener\t127.0.0.1:0\t127.0.0.1:1", Fd(::dup(listening().descriptor())));
  {
    const auto adopted = rig.stock.open("listener", loopback(), 16).value();
    const auto opened = rig.stock.open("listener", loopback(), 16).value();
  }
  CHECK(rig.heard(Word::kSocketGone).empty());
  CHECK(rig.stock.begin_serving().empty());
  CHECK(rig.heard(Word::kSocket).empty());
}

TEST_CASE("socket_stock: what a retiring process lets go is its successor's") {
  Rig rig;
  std::optional<net::ListenSocket> socket = rig.stock.open("listener", loopback(), 16).value();
  rig.stock.begin_serving();
  rig.heard(Word::kSocket);
  rig.stock.retire();
  CHECK_FALSE(rig.stock.is_serving());
  socket.reset();
  CHECK(rig.heard(Word::kSocketGone).empty());
}

TEST_CASE("socket_stock: what was passed is found by purpose and configured address") {
  Rig rig;
  const auto listener = listening();
  const auto metrics = listening();
  rig.stock.add("metrics\t127.0.0.1:0\tx", Fd(::dup(metrics.descriptor())));
  rig.stock.add("listener\t127.0.0.1:0\ty", Fd(::dup(listener.descriptor())));
  rig.stock.add("listener\t127.0.0.1:1\tz", Fd(::dup(listener.descriptor())));
  const auto found = rig.stock.open("listener", loopback(), 16).value();
  CHECK(found.local().text() == listener.local().text());
  const auto other = rig.stock.open("metrics", loopback(), 16).value();
  CHECK(other.local().text() == metrics.local().text());
  CHECK(rig.stock.begin_serving() == std::vector<std::string>{"listener\t127.0.0.1:1\tz"});
  CHECK(rig.heard(Word::kSocketGone) == std::vector<std::string>{"listener\t127.0.0.1:1\tz"});
}

TEST_CASE("socket_stock: what the service manager passed goes to whoever has its address") {
  Rig rig;
  const auto passed = listening();
  const uint16_t port = passed.local().ip_port().port;
  rig.stock.add("systemd\tweb\t" + passed.local().text(), Fd(::dup(passed.descriptor())));
  const auto other = rig.stock.open("listener", loopback(), 16).value();
  CHECK(other.local().text() != passed.local().text());
  const auto found = rig.stock.open("listener", loopback(port), 16);  // a second bind would fail
  REQUIRE(found);
  CHECK(found->local().text() == passed.local().text());
  CHECK(rig.stock.begin_serving().empty());
}

TEST_CASE("socket_stock: without a supervisor it only opens") {
  const Channel nobody;
  SocketStock stock(nobody);
  auto socket = std::make_unique<net::ListenSocket>(stock.open("listener", loopback(), 16).value());
  CHECK(stock.begin_serving().empty());
  socket.reset();
  CHECK(stock.is_serving());
}
