#include "proxy/net/plain_transport.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;
using net::Io;
using net::PlainTransport;

namespace {

struct Ear final : net::TransportEvents {
  void on_readable() override { ++readable; }
  void on_writable() override { ++writable; }
  int readable = 0;
  int writable = 0;
};

struct Rig {
  explicit Rig(std::pair<Fd, Fd> both = pair_of_sockets())
      : theirs(std::move(both.second)),
        transport(PlainTransport::make(rounds.loop(), std::move(both.first)).value()) {
    transport->set_events(ear);
    rounds.settle();
    ear = {};
  }
  bool hears() {
    const int before = ear.readable;
    return rounds.until([this, before] { return ear.readable > before; });
  }
  Io read(size_t room = sizeof buffer) {
    const Io io = transport->read(buffer, room);
    text.assign(buffer, io.count);
    return io;
  }

  Rounds rounds;
  Ear ear;
  Fd theirs;
  char buffer[4096] = {};
  std::string text;
  std::unique_ptr<PlainTransport> transport;
};

Chain chain_of(std::string_view text) {
  Chain made;
  made.append_copy(text);
  return made;
}

SharedFile file_of(std::string_view text) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Fd fd(::dup(::fileno(file)));
  std::fclose(file);
  REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return std::make_shared<const Fd>(std::move(fd));
}

}  // namespace

TEST_CASE("plain_transport: nothing is read before there is news") {
  Rig rig;
  say(rig.theirs.get(), "early");  // it is there, but nobody said so
  if (!rig.transport->may_be_readable()) CHECK(rig.read().state == Io::State::kBlocked);
  REQUIRE(rig.hears());
  CHECK(rig.transport->may_be_readable());
  CHECK(rig.read().state == Io::State::kOk);
  CHECK(rig.text == "early");
}

TEST_CASE("plain_transport: a short read means drained, a full one does not") {
  Rig rig;
  say(rig.theirs.get(), "12345678");
  REQUIRE(rig.hears());
  CHECK(rig.read(5).count == 5);
  CHECK(rig.transport->may_be_readable());
  CHECK(rig.read(5).count == 3);
  CHECK_FALSE(rig.transport->may_be_readable());
  CHECK(rig.read(5).state == Io::State::kBlocked);
}

TEST_CASE("plain_transport: a FIN behind the bytes is found") {
  for (const bool over_tcp : {false, true}) {
    Rig rig(over_tcp ? pair_over_tcp() : pair_of_sockets());
    say(rig.theirs.get(), "last words");
    rig.theirs.reset();
    REQUIRE(rig.hears());
    CHECK(rig.read().state == Io::State::kOk);
    CHECK(rig.text == "last words");
    CHECK(rig.transport->may_be_readable());
    CHECK(rig.read().state == Io::State::kEnd);
    CHECK(rig.read().state == Io::State::kEnd);
  }
}

TEST_CASE("plain_transport: a FIN after a read that drained is news") {
  Rig rig(pair_over_tcp());
  say(rig.theirs.get(), "x");
  REQUIRE(rig.hears());
  CHECK(rig.read().count == 1);
  CHECK(rig.read().state == Io::State::kBlocked);
  ::shutdown(rig.theirs.get(), SHUT_WR);
  REQUIRE(rig.hears());
  CHECK(rig.read().state == Io::State::kEnd);
}

TEST_CASE("plain_transport: a reset is a failure with its number") {
  Rig rig(pair_over_tcp());
  const linger now{1, 0};
  REQUIRE(::setsockopt(rig.theirs.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
  rig.theirs.reset();
  REQUIRE(rig.hears());
  const Io io = rig.read();
  CHECK(io.state == Io::State::kFailed);
  CHECK(io.error_number == ECONNRESET);
}

TEST_CASE("plain_transport: a reset behind the bytes is found by who reads on") {
  Rig rig(pair_over_tcp());
  say(rig.theirs.get(), "half an ans");
  const linger now{1, 0};
  REQUIRE(::setsockopt(rig.theirs.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
  rig.theirs.reset();  // one notice for both: there is no second
  REQUIRE(rig.hears());
  CHECK(rig.read().count == 11);
  CHECK(rig.read().state == Io::State::kFailed);
}

TEST_CASE("plain_transport: a writer that was blocked hears when there is room") {
  Rig rig(pair_over_tcp());
  std::string all;
  for (int i = 0; all.size() < (32U << 20); ++i) all += std::to_string(i) + ",";
  Chain chain = chain_of(all);
  const Io first = rig.transport->write(chain);
  REQUIRE(first.state == Io::State::kBlocked);
  CHECK(first.count == all.size() - chain.size());
  std::string seen;
  while (!chain.empty()) {
    const int before = rig.ear.writable;
    const bool told = rig.rounds.until([&rig, &seen, before] {
      seen += received(rig.theirs.get());
      return rig.ear.writable > before;
    });
    REQUIRE(told);
    rig.transport->write(chain);
  }
  REQUIRE(rig.rounds.until([&rig, &seen, &all] {
    seen += received(rig.theirs.get());
    return seen.size() == all.size();
  }));
  CHECK(seen == all);
}

TEST_CASE("plain_transport: who was not blocked hears nothing of room") {
  Rig rig;
  Chain chain = chain_of("little");
  CHECK(rig.transport->write(chain).state == Io::State::kOk);
  CHECK(chain.empty());
  CHECK(received(rig.theirs.get()) == "little");
  rig.rounds.settle();
  CHECK(rig.ear.writable == 0);
}

TEST_CASE("plain_transport: memory and files go out in order") {
  Rig rig(pair_over_tcp());
  Chain chain = chain_of("head ");
  chain.append_file(file_of("0123456789"), 2, 5);
  chain.append_copy(" tail");
  CHECK(rig.transport->write(chain).state == Io::State::kOk);
  CHECK(chain.empty());
  std::string seen;
  CHECK(rig.rounds.until([&rig, &seen] {
    seen += received(rig.theirs.get());
    return seen == "head 23456 tail";
  }));
}

TEST_CASE("plain_transport: a file shorter than was promised is a failure") {
  Rig rig(pair_over_tcp());
  Chain chain = chain_of("head ");
  chain.append_file(file_of("0123"), 0, 10);
  const Io io = rig.transport->write(chain);
  CHECK(io.state == Io::State::kFailed);
  CHECK(io.error_number == EIO);
  CHECK(io.count == 9);
}

TEST_CASE("plain_transport: many small pieces are all sent") {
  Rig rig;
  Chain chain;
  std::string all;
  for (int i = 0; i < 300; ++i) {
    BlockRef block = BlockRef::make(1);
    *block->data() = static_cast<char>('a' + i % 26);
    const char* data = block->data();
    all += *data;
    chain.append(std::move(block), data, 1);
  }
  CHECK(rig.transport->write(chain).count == 300);
  CHECK(received(rig.theirs.get()) == all);
}

TEST_CASE("plain_transport: after our FIN reading goes on") {
  Rig rig;
  rig.transport->shutdown_write();
  CHECK(has_ended(rig.theirs.get()));
  say(rig.theirs.get(), "still here");
  REQUIRE(rig.hears());
  CHECK(rig.read().count == 10);
}

TEST_CASE("plain_transport: writing to who has gone is a failure, not a signal") {
  Rig rig;
  rig.theirs.reset();
  Chain chain = chain_of("anybody?");
  const Io io = rig.transport->write(chain);
  CHECK(io.state == Io::State::kFailed);
  CHECK(io.error_number == EPIPE);
  CHECK(chain.size() == 8);
}

TEST_CASE("plain_transport: it closes its socket, and others may hear its news") {
  Rig rig;
  Ear other;
  rig.transport->set_events(other);
  say(rig.theirs.get(), "x");
  CHECK(rig.rounds.until([&other] { return other.readable > 0; }));
  CHECK(rig.ear.readable == 0);
  rig.transport.reset();
  Fd& theirs = rig.theirs;
  char c = 0;
  CHECK(::recv(theirs.get(), &c, 1, MSG_DONTWAIT) <= 0);
  CHECK(::send(theirs.get(), "y", 1, MSG_NOSIGNAL) == -1);
}
