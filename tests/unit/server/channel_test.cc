#include "proxy/server/channel.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "proxy/server/child.h"
#include "proxy/server/supervisor.h"

using namespace sluice;
using namespace std::chrono_literals;
using server::Channel;
using server::Message;
using server::Word;

TEST_CASE("channel: a message arrives whole, with its descriptor") {
  auto [here, there] = Channel::make().value();
  const Fd file = server::to_memory_file("what was counted").value();
  Message sent(Word::kConnection, "127.0.0.1:80", 7);
  sent.ip[15] = 9;
  sent.port = 4711;
  REQUIRE(here.send(sent, file.get()));
  Message got;
  Fd with;
  REQUIRE(there.receive(got, with) == Channel::Got::kMessage);
  CHECK(got.word == Word::kConnection);
  CHECK(got.text() == "127.0.0.1:80");
  CHECK(got.number == 7);
  CHECK(got.ip[15] == 9);
  CHECK(got.port == 4711);
  REQUIRE(with.is_open());
  CHECK(with.get() != file.get());
  CHECK(server::read_memory_file(with.get()).value() == "what was counted");
  CHECK(there.receive(got, with) == Channel::Got::kNothing);
  CHECK_FALSE(with.is_open());
}

TEST_CASE("channel: the other end's end is heard after what it said") {
  auto [here, there] = Channel::make().value();
  REQUIRE(here.send(Message(Word::kAlive)));
  here.close();
  Message got;
  Fd with;
  CHECK(there.await(got, with, 1s) == Channel::Got::kMessage);
  CHECK(there.await(got, with, 1s) == Channel::Got::kEnd);
  CHECK(there.try_send(Message(Word::kAlive)) == Channel::Sent::kGone);
  CHECK_FALSE(there.send(Message(Word::kAlive)));
}

TEST_CASE("channel: last words are heard although ours were never read") {
  auto [here, there] = Channel::make().value();
  REQUIRE(there.send(Message(Word::kWelcome)));
  REQUIRE(here.send(Message(Word::kFailed, "no such file")));
  here.close();
  Message got;
  Fd with;
  REQUIRE(there.receive(got, with) == Channel::Got::kMessage);
  CHECK(got.text() == "no such file");
  CHECK(there.receive(got, with) == Channel::Got::kEnd);
}

TEST_CASE("channel: one that does not read is not waited for by who may not wait") {
  auto [here, there] = Channel::make().value();
  int sent = 0;
  while (here.try_send(Message(Word::kAlive)) == Channel::Sent::kSent) REQUIRE(++sent < 100'000);
  CHECK(sent > 16);
  CHECK(here.try_send(Message(Word::kAlive)) == Channel::Sent::kFull);
  Message got;
  Fd with;
  while (there.receive(got, with) == Channel::Got::kMessage) --sent;
  CHECK(sent == 0);
  CHECK(here.send(Message(Word::kAlive)));
}

TEST_CASE("channel: another version, or another size, ends the conversation") {
  auto [here, there] = Channel::make().value();
  Message other(Word::kBegin);
  other.version = server::kProtocolVersion + 1;
  REQUIRE(here.send(other));
  Message got;
  Fd with;
  CHECK(there.receive(got, with) == Channel::Got::kEnd);
  REQUIRE(::send(here.descriptor(), "short", 5, 0) == 5);
  CHECK(there.receive(got, with) == Channel::Got::kEnd);
}

TEST_CASE("channel: a text too long for a message is cut, not overrun") {
  const Message message(Word::kFailed, std::string(10'000, 'x'));
  CHECK(message.text().size() == message.bytes.size());
  Message odd;
  odd.text_size = 65535;  // as nobody of ours says it
  CHECK(odd.text().size() == odd.bytes.size());
}

TEST_CASE("channel: long texts go through memory files") {
  const std::string text(3'000'000, 'y');
  const Fd file = server::to_memory_file(text).value();
  CHECK(server::read_memory_file(file.get()).value() == text);
  CHECK(server::read_memory_file(server::to_memory_file("").value().get()).value().empty());
  CHECK_FALSE(server::read_memory_file(-1));
}

TEST_CASE("child: how it ended has a sentence and a label") {
  const auto ended_by = [](auto end) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      end();
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return status;
  };
  const int killed = ended_by([] { ::kill(::getpid(), SIGKILL); });
  CHECK(server::end_of(killed) == "killed by SIGKILL");
  CHECK(server::label_of(killed) == "SIGKILL");
  const int failed = ended_by([] { ::_exit(3); });
  CHECK(server::end_of(failed) == "exit code 3");
  CHECK(server::label_of(failed) == "exit_3");
}

TEST_CASE("supervisor: the path of the program is the one it was started by") {
  char real[4096];
  const ssize_t size = ::readlink("/proc/self/exe", real, sizeof real);
  REQUIRE(size > 0);
  const std::string path(real, static_cast<size_t>(size));
  CHECK(server::path_of_program(path.c_str()) == path);
  CHECK(server::path_of_program("/bin/sh") == path);  // somebody else's word
  CHECK(server::path_of_program("not-in-the-path") == path);
  CHECK(server::path_of_program(nullptr) == path);
  const std::string link = "/tmp/sluice-link." + std::to_string(::getpid());
  REQUIRE(::symlink(path.c_str(), link.c_str()) == 0);
  CHECK(server::path_of_program(link.c_str()) == link);  // the next version is where it points then
  ::unlink(link.c_str());
}
