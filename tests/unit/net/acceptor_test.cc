#include "proxy/net/acceptor.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using net::Acceptor;

namespace {

struct Door final : net::AcceptEvents {
  void on_accepted(Fd fd, const net::SocketAddress& client) override {
    sessions.push_back(std::move(fd));
    clients.push_back(client.text());
  }
  void on_accept_paused(const Error& why) override { pauses.push_back(why); }
  std::vector<Fd> sessions;
  std::vector<std::string> clients;
  std::vector<Error> pauses;
};

// While it lives, no descriptor can be had.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const Fd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(next.get());
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("acceptor: hands on who comes, with the address they come from") {
  Rounds rounds;
  Door door;
  const auto listener = listening();
  Acceptor acceptor(rounds.loop(), listener.descriptor(), door);
  REQUIRE(acceptor.start());
  std::vector<Fd> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(connecting(listener.local()));
  REQUIRE(rounds.until([&door] { return door.sessions.size() == 3; }));
  CHECK(door.clients[0] == net::SocketAddress::of_local(clients[0].get()).text());
  CHECK((::fcntl(door.sessions[0].get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(door.sessions[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("acceptor: of several on one socket, one gets each connection") {
  Rounds rounds;
  Door left;
  Door right;
  const auto listener = listening();
  Acceptor first(rounds.loop(), listener.descriptor(), left);
  Acceptor second(rounds.loop(), listener.descriptor(), right);
  REQUIRE(first.start());
  REQUIRE(second.start());
  std::vector<Fd> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(connecting(listener.local()));
    rounds.once();
  }
  CHECK(rounds.until([&] { return left.sessions.size() + right.sessions.size() == 20; }));
}

TEST_CASE("acceptor: stopped, it leaves the queue alone, which can still be taken") {
  Rounds rounds;
  Door door;
  const auto listener = listening();
  Acceptor acceptor(rounds.loop(), listener.descriptor(), door);
  REQUIRE(acceptor.start());
  acceptor.stop();
  const Fd one = connecting(listener.local());
  const Fd two = connecting(listener.local());
  rounds.settle();
  CHECK(door.sessions.empty());
  acceptor.drain_queue();
  CHECK(door.sessions.size() == 2);
  REQUIRE(acceptor.start());
  const Fd three = connecting(listener.local());
  CHECK(rounds.until([&door] { return door.sessions.size() == 3; }));
}

TEST_CASE("acceptor: without descriptors it pauses, says so, and goes on by itself") {
  Rounds rounds;
  Door door;
  const auto listener = listening();
  Acceptor acceptor(rounds.loop(), listener.descriptor(), door);
  REQUIRE(acceptor.start());
  const Fd client = connecting(listener.local());
  {
    const NoDescriptors scarcity;
    REQUIRE(rounds.until([&door] { return !door.pauses.empty(); }));
    CHECK(door.pauses[0].code == ErrorCode::kNoDescriptor);
    const size_t said = door.pauses.size();
    rounds.once();
    rounds.once();
    CHECK(door.pauses.size() == said);  // it does not spin
    CHECK(door.sessions.empty());
  }
  rounds.pass(101ms);
  CHECK(rounds.until([&door] { return door.sessions.size() == 1; }));
}
