// The serving process's end of the conversation with its supervisor, and the service manager's
// protocol.
#include "proxy/server/lifeline.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using server::Channel;
using server::Lifeline;
using server::Message;
using server::Role;
using server::ServiceManager;
using server::SocketStock;
using server::Word;

namespace {

struct News final : server::LifelineEvents {
  void on_told_signal(int number) override { all.push_back("signal " + std::to_string(number)); }
  void on_verdict(bool well, std::string text) override {
    all.push_back((well ? "well " : "not well ") + text);
  }
  void on_retire(Channel line) override { all.push_back(line.is_open() ? "retire" : "retire?"); }
  void on_predecessor(Channel line) override { all.push_back(line.is_open() ? "heir" : "heir?"); }
  void on_predecessor_gone() override { all.emplace_back("gone"); }
  void on_counters(const std::string& text) override { all.push_back("counters " + text); }
  void on_told(const Message& message) override {
    all.push_back("told " + std::string(message.text()));
  }
  void on_supervisor_gone() override { all.emplace_back("alone"); }
  std::vector<std::string> all;
};

// Where a service manager listens, in the abstract name space.
struct Manager {
  explicit Manager(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  }
  std::string heard() {
    char text[512];
    const ssize_t size = ::recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  }
  Fd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

}  // namespace

TEST_CASE("lifeline: what a process is born with") {
  auto ends = Channel::make().value();
  const auto passed = listening();
  ends.second.send(
      Message(Word::kWelcome, "killed by SIGSEGV", static_cast<int>(Role::kRestarted)));
  ends.second.send(Message(Word::kSocket, "listener\t127.0.0.1:0\tx"), passed.descriptor());
  ends.second.send(Message(Word::kTold, "a\tb\tc\td", 3));
  ends.second.send(Message(Word::kBegin));
  Lifeline lifeline(std::move(ends.first));
  SocketStock stock(lifeline.supervisor());
  REQUIRE(lifeline.learn(stock));
  CHECK(lifeline.role() == Role::kRestarted);
  CHECK(lifeline.reason() == "killed by SIGSEGV");
  REQUIRE(lifeline.told().size() == 1);
  CHECK(lifeline.told()[0].number == 3);
  const auto found = stock.open("listener", loopback(), 16).value();
  CHECK(found.local().text() == passed.local().text());
}

TEST_CASE("lifeline: a supervisor that hangs up at birth, or speaks otherwise, is an error") {
  {
    auto ends = Channel::make().value();
    ends.second.close();
    Lifeline lifeline(std::move(ends.first));
    SocketStock stock(lifeline.supervisor());
    CHECK_FALSE(lifeline.learn(stock));
  }
  auto ends = Channel::make().value();
  Message other(Word::kWelcome);
  other.version = 99;
  ends.second.send(other);
  Lifeline lifeline(std::move(ends.first));
  SocketStock stock(lifeline.supervisor());
  CHECK_FALSE(lifeline.learn(stock));
}

TEST_CASE("lifeline: every word is news, the last one that nobody is there") {
  Rounds rounds;
  News news;
  auto ends = Channel::make().value();
  auto line = Channel::make().value();
  Channel& supervisor = ends.second;
  Lifeline lifeline(std::move(ends.first));
  REQUIRE(lifeline.start(rounds.loop(), news));
  const Fd file = server::to_memory_file("text").value();
  supervisor.send(Message(Word::kSignal, {}, 15));
  supervisor.send(Message(Word::kVerdict, "serves", 1));
  supervisor.send(Message(Word::kVerdict, "exit code 1", 0));
  supervisor.send(Message(Word::kPredecessor), line.first.descriptor());
  supervisor.send(Message(Word::kRetire), line.second.descriptor());
  supervisor.send(Message(Word::kRetire));
  supervisor.send(Message(Word::kPredecessorGone));
  supervisor.send(Message(Word::kCounters), file.get());
  supervisor.send(Message(Word::kCounters));  // it came without: nothing to read
  supervisor.send(Message(Word::kTold, "x"));
  supervisor.send(Message(Word::kUpgrade));  // not for us
  supervisor.close();
  CHECK(rounds.until([&] { return !news.all.empty() && news.all.back() == "alone"; }));
  CHECK(news.all == std::vector<std::string>{"signal 15", "well serves", "not well exit code 1",
                                             "heir", "retire", "retire?", "gone", "counters text",
                                             "told x", "alone"});
  CHECK_FALSE(lifeline.say(Word::kAlive));
}

TEST_CASE("systemd: the words of a life, and no others") {
  Manager systemd("sluice-unit-" + std::to_string(::getpid()));
  const auto manager = ServiceManager::from_environment();
  CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
  manager.say(Message(Word::kAccepting, "serving :80"));
  CHECK(systemd.heard() == "READY=1\nSTATUS=serving :80");
  manager.say(Message(Word::kReloading));
  CHECK(systemd.heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
  manager.say(Message(Word::kReady));
  CHECK(systemd.heard() == "READY=1\nSTATUS=serving");
  manager.say(Message(Word::kAlive));
  CHECK(systemd.heard() == "WATCHDOG=1");
  manager.say(Message(Word::kStopping));
  CHECK(systemd.heard().starts_with("STOPPING=1"));
  manager.say(Message(Word::kSocketGone, "x"));
  CHECK(systemd.heard().empty());
}

TEST_CASE("systemd: the watchdog is fed from the loop, at half the interval") {
  Manager systemd("sluice-watch-" + std::to_string(::getpid()));
  ::setenv("WATCHDOG_USEC", "10000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  Rounds rounds;
  News news;
  Lifeline lifeline{Channel()};
  SocketStock stock(lifeline.supervisor());
  REQUIRE(lifeline.learn(stock));
  CHECK(std::getenv("WATCHDOG_USEC") == nullptr);
  REQUIRE(lifeline.start(rounds.loop(), news));
  CHECK(systemd.heard().empty());
  rounds.pass(6ms);
  CHECK(systemd.heard() == "WATCHDOG=1");
  rounds.pass(6ms);
  CHECK(systemd.heard() == "WATCHDOG=1");
  CHECK(lifeline.signal_pid() == ::getpid());
}

TEST_CASE("systemd: a watchdog or sockets for another process are not ours") {
  ::setenv("WATCHDOG_USEC", "10000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  CHECK(ServiceManager::from_environment().watchdog() == Duration{0});
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("LISTEN_PID", "1", 1);
  CHECK(server::take_passed_sockets().empty());
  CHECK(std::getenv("LISTEN_FDS") == nullptr);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  ::setenv("LISTEN_FDS", "not a number", 1);
  CHECK(server::take_passed_sockets().empty());
}
