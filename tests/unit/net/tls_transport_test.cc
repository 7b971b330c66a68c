#include "proxy/net/tls_transport.h"

#include <cerrno>
#include <cstdio>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/net/tls_rig.h"

using namespace sluice;
using namespace sluice::testing;
using net::Io;
using Shake = net::TlsTransport::Shake;

namespace {

std::shared_ptr<const net::TlsContext> one_context() {
  static const Folder folder;
  static const auto made = [] {
    config::Tls tls;
    tls.certificates = {save(folder, "a", make_certificate({"a", "DNS:a.example"}))};
    return context_of(tls);
  }();
  return made;
}

Chain chain_of(std::string_view text) {
  Chain made;
  made.append_copy(text);
  return made;
}

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 31 + i / 257) % 26);
  return text;
}

SharedFile file_of(std::string_view text) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Fd fd(::dup(::fileno(file)));
  std::fclose(file);
  REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return std::make_shared<const Fd>(std::move(fd));
}

struct Talk : TlsRig {
  explicit Talk(int version = TLS1_3_VERSION, std::pair<Fd, Fd> both = pair_of_sockets())
      : TlsRig(one_context(), "a.example", version, std::move(both)) {
    REQUIRE(shake() == Shake::kDone);
    client.hear();
  }
  // Writes all of it, while the client reads.
  std::string send(Chain&& bytes) {
    std::string heard;
    const uint64_t size = bytes.size();
    uint64_t sent = 0;
    rounds.until([&] {
      const Io io = server->write(bytes);
      sent += io.count;
      CHECK(io.state != Io::State::kFailed);
      heard += client.hear();
      rounds.once();
      return bytes.empty() && heard.size() >= size;
    });
    CHECK(sent == size);
    return heard;
  }
};

}  // namespace

TEST_CASE("tls_transport: what is said is heard, both ways and over both versions") {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Talk talk(version);
    CHECK(talk.server->is_secure());
    REQUIRE(talk.client.say("hello"));
    CHECK(talk.await().state == Io::State::kOk);
    CHECK(talk.text == "hello");
    CHECK(talk.read().state == Io::State::kBlocked);
    CHECK_FALSE(talk.server->may_be_readable());
    CHECK(talk.send(chain_of("answer")) == "answer");
  }
}

TEST_CASE("tls_transport: a request that came with the handshake's last flight is there at once") {
  TlsRig rig(one_context());
  auto outcome = Shake::kBlocked;
  bool said = false;
  rig.rounds.until([&] {
    if (rig.client.shake() && !said) said = rig.client.say("GET /");
    rig.rounds.once();
    // The server does not look before both are there.
    if (said || outcome == Shake::kBlocked) outcome = rig.server->shake();
    return outcome != Shake::kBlocked;
  });
  REQUIRE(outcome == Shake::kDone);
  CHECK(rig.await().state == Io::State::kOk);
  CHECK(rig.text == "GET /");
}

TEST_CASE("tls_transport: the handshake comes one byte at a time") {
  auto outer = pair_of_sockets();
  auto inner = pair_of_sockets();
  TlsRig rig(one_context(), "", TLS1_3_VERSION, std::move(outer));
  TlsClient client(std::move(inner.first));
  const int relay = inner.second.get();  // between this client and the server's other end
  auto outcome = Shake::kBlocked;
  rig.rounds.until([&] {
    client.shake();
    for (const char c : received(relay)) {
      say(rig.client.socket(), {&c, 1});
      rig.rounds.once();
      if (outcome == Shake::kBlocked) outcome = rig.server->shake();
    }
    const std::string back = received(rig.client.socket());
    if (!back.empty()) say(relay, back);
    rig.rounds.once();
    return outcome != Shake::kBlocked;
  });
  CHECK(outcome == Shake::kDone);
}

TEST_CASE("tls_transport: reading in small pieces leaves nothing behind without news") {
  Talk talk;
  REQUIRE(talk.client.say("0123456789"));
  REQUIRE(talk.await(3).state == Io::State::kOk);
  std::string all = talk.text;
  while (talk.server->may_be_readable() && talk.read(3).state == Io::State::kOk) all += talk.text;
  CHECK(all == "0123456789");
}

TEST_CASE("tls_transport: small pieces, large ones and files arrive whole and in order") {
  const std::string large = pattern(300'000);
  const std::string filed = pattern(150'001);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Talk talk(version);
    Chain bytes;
    bytes.append_copy("HTTP/1.1 200 OK\r\n\r\n");
    bytes.append_copy(large);
    bytes.append_file(file_of(filed), 1, filed.size() - 1);
    bytes.append_copy("end");
    CHECK(talk.send(std::move(bytes)) ==
          "HTTP/1.1 200 OK\r\n\r\n" + large + filed.substr(1) + "end");
  }
}

TEST_CASE("tls_transport: a blocked write goes on when there is news, though the chain has grown") {
  Talk talk;
  const std::string large = pattern(1'000'000);
  Chain bytes = chain_of(large);
  Io io = talk.server->write(bytes);
  REQUIRE(io.state == Io::State::kBlocked);
  CHECK(bytes.size() + io.count == large.size());
  bytes.append_copy("more");
  const int before = talk.ear.writable;
  std::string heard = talk.client.hear();
  REQUIRE(talk.rounds.until([&] { return talk.rounds.once(), talk.ear.writable > before; }));
  talk.rounds.until([&] {
    CHECK(talk.server->write(bytes).state != Io::State::kFailed);
    heard += talk.client.hear();
    talk.rounds.once();
    return heard.size() == large.size() + 4;
  });
  CHECK(heard == large + "more");
}

TEST_CASE("tls_transport: close_notify is an end, and the other direction goes on") {
  Talk talk;
  REQUIRE(talk.client.say("last"));
  SSL_shutdown(talk.client.ssl());
  ::shutdown(talk.client.socket(), SHUT_WR);
  CHECK(talk.await().state == Io::State::kOk);
  const Io end = talk.await();
  CHECK(end.state == Io::State::kEnd);
  CHECK(end.error_number == 0);
  Chain bytes = chain_of("answer");
  CHECK(talk.server->write(bytes).state == Io::State::kOk);
  talk.server->shutdown_write();
  CHECK(talk.client.hear() == "answer");
  CHECK(talk.client.ended);
}

TEST_CASE(
    "tls_transport: a FIN without close_notify is an end with an error, and can be answered") {
  Talk talk;
  REQUIRE(talk.client.say("last"));
  ::shutdown(talk.client.socket(), SHUT_WR);
  CHECK(talk.await().state == Io::State::kOk);
  const Io end = talk.await();
  CHECK(end.state == Io::State::kEnd);
  CHECK(end.error_number == EPROTO);
  Chain bytes = chain_of("answer");
  CHECK(talk.server->write(bytes).state == Io::State::kOk);
  CHECK(talk.client.hear() == "answer");
}

TEST_CASE("tls_transport: bytes that are no TLS break it") {
  Talk talk;
  say(talk.client.socket(), "GET / HTTP/1.1\r\n\r\n");
  const Io io = talk.await();
  CHECK(io.state == Io::State::kFailed);
  CHECK(io.error_number == EPROTO);
  talk.server->shutdown_write();  // says nothing, and does no harm
}

TEST_CASE("tls_transport: a renegotiation is refused, and the connection goes on") {
  Talk talk(TLS1_2_VERSION);
  SSL_renegotiate(talk.client.ssl());
  SSL_do_handshake(talk.client.ssl());
  CHECK(talk.client.say("x") == false);
  talk.rounds.settle();
  talk.read();
  Chain bytes = chain_of("still here");
  CHECK(talk.server->write(bytes).state == Io::State::kOk);
}

TEST_CASE("tls_transport: keys change in the middle") {
  Talk talk;
  SSL_key_update(talk.client.ssl(), SSL_KEY_UPDATE_REQUESTED);
  REQUIRE(talk.client.say("after"));
  CHECK(talk.await().state == Io::State::kOk);
  CHECK(talk.text == "after");
  CHECK(talk.send(chain_of("answer")) == "answer");
}

TEST_CASE("tls_transport: a request without TLS is known as one, with all its bytes") {
  TlsRig rig(one_context());
  say(rig.client.socket(), "DELETE /x HTTP/1.1\r\n\r\n");
  auto outcome = Shake::kBlocked;
  rig.rounds.until([&] {
    rig.rounds.once();
    outcome = rig.server->shake();
    return outcome != Shake::kBlocked;
  });
  REQUIRE(outcome == Shake::kPlain);
  std::string read;
  const Fd fd = rig.server->take_plain(read);
  CHECK(fd.is_open());
  CHECK(read == "DELETE /x HTTP/1.1\r\n\r\n");
}

TEST_CASE("tls_transport: what was read before the handshake belongs to it") {
  auto both = pair_of_sockets();
  TlsClient client(std::move(both.second));
  client.shake();
  std::string hello = received(both.first.get());
  REQUIRE_FALSE(hello.empty());
  Rounds rounds;
  TlsEar ear;
  auto server =
      net::TlsTransport::accept(rounds.loop(), std::move(both.first), one_context(), hello).value();
  server->set_events(ear);
  auto outcome = server->shake();
  rounds.until([&] {
    client.shake();
    rounds.once();
    if (outcome == Shake::kBlocked) outcome = server->shake();
    return outcome != Shake::kBlocked;
  });
  CHECK(outcome == Shake::kDone);
}

TEST_CASE("tls_transport: who leaves before the end has left, not failed") {
  TlsRig rig(one_context());
  rig.client.shake();
  rig.client.close();
  auto outcome = Shake::kBlocked;
  rig.rounds.until([&] {
    rig.rounds.once();
    outcome = rig.server->shake();
    return outcome != Shake::kBlocked;
  });
  CHECK(outcome == Shake::kLeft);
  CHECK(rig.server->has_begun());
}
