#include "proxy/server/listener_set.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using server::ListenerSet;
using server::SocketStock;

namespace {

config::Listener listener(const config::Address& address) {
  config::Listener made;
  made.address = address;
  return made;
}

// No supervisor asks for the sockets.
const server::Channel& nobody() {
  static const server::Channel closed;
  return closed;
}

struct Rig {
  Folder folder;
  Rounds rounds;
  observe::Metrics metrics{{}};
  std::unique_ptr<observe::ProcessLog> log =
      observe::ProcessLog::open({.path = folder / "log"}).value();
  server::Departures::Workers workers;
  int closed = 0;
  server::Departures departures{rounds.loop(), workers, *log, [this] { ++closed; }};
  server::SocketStock stock{nobody()};
  ListenerSet set{metrics, stock, departures};
};

// Port 0 twice would be one name: another loopback address for the second.
config::Address other_loopback() {
  return {"127.0.0.2:0", false, "127.0.0.2", 0};
}

}  // namespace

TEST_CASE("listener_set: what is prepared is open, and the set is as before until it is adopted") {
  Rig rig;
  ListenerSet& set = rig.set;
  const auto orders = set.prepare({listener(loopback()), listener(other_loopback())});
  REQUIRE(orders);
  REQUIRE(orders->size() == 2);
  CHECK(set.all().empty());
  const Fd early = connecting((*orders)[0].shared->socket.local());
  set.adopt(*orders);
  CHECK(set.all().size() == 2);
  CHECK(accepted(set.all()[0]->socket).is_open());
  CHECK(set.addresses()[0] == set.all()[0]->socket.local().text());
  CHECK(set.all()[0]->local_address == "127.0.0.1");
  CHECK(set.all()[0]->local_port == set.all()[0]->socket.local().ip_port().port);
}

TEST_CASE("listener_set: a reload keeps the sockets that stay, and hands out the others") {
  Rig rig;
  ListenerSet& set = rig.set;
  set.adopt(set.prepare({listener(loopback()), listener(other_loopback())}).value());
  const auto kept = set.all()[0];
  const auto dropped = set.all()[1];
  auto changed = listener(loopback());
  changed.limits.connections = 7;
  const Folder folder;
  const auto orders = set.prepare({listener(unix_path(folder / "x.sock")), changed}).value();
  CHECK(orders[1].shared == kept);
  CHECK(orders[1].config.limits.connections == 7);
  const Fd queued = connecting(dropped->socket.local());
  set.adopt(orders);
  CHECK(set.all().size() == 2);
  REQUIRE(rig.departures.count() == 1);
  CHECK(rig.departures.listener(0) == dropped);
  CHECK(accepted(dropped->socket).is_open());  // what was queued is not lost
  const Fd late = connecting(dropped->socket.local());
  CHECK_FALSE(accepted(dropped->socket).is_open());
  CHECK(rig.rounds.until([&rig] { return rig.closed == 1; }));
  CHECK_FALSE(dropped->socket.is_open());
  CHECK(rig.departures.count() == 0);
}

TEST_CASE("listener_set: a listener that is named again on its way out comes back") {
  Rig rig;
  ListenerSet& set = rig.set;
  set.adopt(set.prepare({listener(loopback())}).value());
  const auto first = set.all()[0];
  set.adopt({});
  REQUIRE(rig.departures.count() == 1);
  const auto orders = set.prepare({listener(loopback())}).value();
  CHECK(orders[0].shared == first);
  CHECK(rig.departures.count() == 1);  // nothing has changed yet
  set.adopt(orders);
  CHECK(rig.departures.count() == 0);
  CHECK(set.all()[0] == first);
  const Fd again = connecting(first->socket.local());
  CHECK(accepted(first->socket).is_open());
}

TEST_CASE("listener_set: what a refused reload had opened is gone without a trace") {
  Rig rig;
  ListenerSet& set = rig.set;
  const auto path = rig.folder / "x.sock";
  const auto orders = set.prepare({listener(unix_path(path))}).value();
  CHECK(::access(path.c_str(), F_OK) == 0);
  set.discard(orders);
  CHECK(::access(path.c_str(), F_OK) != 0);
  set.adopt(set.prepare({listener(unix_path(path))}).value());
  set.discard(set.prepare({listener(unix_path(path))}).value());  // it was there before
  CHECK(::access(path.c_str(), F_OK) == 0);
}

TEST_CASE("listener_set: every address that cannot be had is named, and nothing has changed") {
  Rig rig;
  ListenerSet& set = rig.set;
  set.adopt(set.prepare({listener(loopback())}).value());
  const auto kept = set.all()[0];
  const auto taken = testing::listening();
  const config::Address in_use = loopback(taken.local().ip_port().port);
  const config::Address nowhere{"unix:/missing/x.sock", true, "/missing/x.sock", 0};
  const auto orders = set.prepare({listener(loopback()), listener(in_use), listener(nowhere)});
  REQUIRE_FALSE(orders);
  CHECK(orders.error().detail.find(in_use.text) != std::string::npos);
  CHECK(orders.error().detail.find(nowhere.text) != std::string::npos);
  CHECK(set.all().size() == 1);
  CHECK(set.all()[0] == kept);
}

TEST_CASE("listener_set: held, none of them takes new connections") {
  Rig rig;
  ListenerSet& set = rig.set;
  set.adopt(set.prepare({listener(loopback()), listener(other_loopback())}).value());
  const Fd before = connecting(set.all()[1]->socket.local());
  set.hold_new_connections(*rig.log);
  const Fd after = connecting(set.all()[1]->socket.local());
  CHECK(accepted(set.all()[1]->socket).is_open());
  CHECK_FALSE(accepted(set.all()[1]->socket).is_open());
  set.close();
  CHECK_FALSE(set.all()[0]->socket.is_open());
}
