// What delivery() says after a real socket broke: the kernel facts that a retry rests on.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>

#include <doctest/doctest.h>

#include "proxy/event/loop.h"
#include "proxy/http/h1_client.h"
#include "proxy/net/plain_transport.h"
#include "tests/unit/http/client_rig.h"

namespace sluice::http {
namespace {

using Delivery = ClientStream::Delivery;
using testing::Listener;
using testing::request;

struct Pair {
  Fd ours;
  Fd theirs;
};

Pair tcp_pair() {
  Fd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(listener.get(), generic, size) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
  Pair pair;
  pair.ours = Fd(::socket(AF_INET, SOCK_STREAM, 0));
  REQUIRE(::connect(pair.ours.get(), generic, size) == 0);
  pair.theirs = Fd(::accept(listener.get(), nullptr, nullptr));
  REQUIRE(pair.theirs.is_open());
  return pair;
}

Pair unix_pair() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

std::string read_some(int fd) {
  char buffer[4096];
  const auto n = ::recv(fd, buffer, sizeof buffer, 0);
  return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string{};
}

// Fails the test instead of hanging it.
struct Guard final : event::TimerEvents {
  explicit Guard(event::Loop& its_loop) : loop(its_loop), timer(its_loop.timers(), *this) {
    timer.arm(std::chrono::seconds(10));
  }
  void on_timer(event::Timer&) override { loop.stop(); }
  event::Loop& loop;
  event::Timer timer;
};

struct SocketRig final : ClientOwner, ClientEvents {
  explicit SocketRig(Pair&& both) : pair(std::move(both)) {
    ::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK);
    auto transport = net::PlainTransport::make(*loop, std::move(pair.ours));
    REQUIRE(transport);
    client = std::make_unique<H1Client>(std::move(*transport), loop->timers(), limits, *this);
  }
  void ask() {
    stream = &client->lease();
    stream->set_events(*this);
    stream->send_head(request("POST", "/"));
    stream->send_end();
    stream->flush();
  }
  // Asks once and is answered, so that the connection is a used one; then does `next`; and runs
  // until the stream breaks.
  void run_after_a_first_request(std::function<void()> next) {
    after_head = std::move(next);
    ask();
    CHECK(read_some(pair.theirs.get()).size() > 20);
    REQUIRE(::send(pair.theirs.get(), "HTTP/1.1 204 X\r\n\r\n", 18, 0) == 18);
    run();
  }
  void run() {
    Guard guard(*loop);
    loop->run();
    REQUIRE(broken.size() == 1);
  }

  void on_readable() override {}
  void on_writable() override {}
  void on_interim(ResponseHead&&) override {}
  void on_head(ResponseHead&&) override {
    stream->finish();
    REQUIRE(client->is_idle());
    after_head();
  }
  void on_broken(const Error& error) override {
    broken.push_back(error.code);
    loop->stop();
  }
  void on_stream_over(bool) override {}
  void on_over() override {}

  std::unique_ptr<event::Loop> loop = std::move(*event::Loop::make());
  Pair pair;
  ClientLimits limits;
  ClientStream* stream = nullptr;
  std::vector<ErrorCode> broken;
  std::function<void()> after_head;
  std::unique_ptr<H1Client> client;
};

TEST_CASE("delivery: a keep-alive connection that was closed before the request, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    rig.pair.theirs.reset();
    rig.ask();  // before the loop had a chance to tell of the FIN
  });
  CHECK(rig.broken[0] == ErrorCode::kClosed);
  CHECK(rig.stream->delivery() == Delivery::kNotReceived);
  rig.stream->reset();
}

TEST_CASE("delivery: the same on a connection's first request, TCP") {
  SocketRig rig(tcp_pair());
  rig.pair.theirs.reset();
  rig.ask();
  rig.run();
  CHECK(rig.stream->delivery() == Delivery::kNotReceived);
  rig.stream->reset();
}

TEST_CASE("delivery: a request that was read before the close is not known to be unreceived, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    rig.ask();
    CHECK(read_some(rig.pair.theirs.get()).find("POST /") == 0);
    rig.pair.theirs.reset();
  });
  CHECK(rig.broken[0] == ErrorCode::kClosed);
  CHECK(rig.stream->delivery() == Delivery::kUnknown);
  rig.stream->reset();
}

TEST_CASE("delivery: a request that was read in part proves nothing, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    rig.ask();
    char some[10];
    CHECK(::recv(rig.pair.theirs.get(), some, sizeof some, 0) == 10);
    rig.pair.theirs.reset();
  });
  CHECK(rig.broken[0] == ErrorCode::kReset);
  CHECK(rig.stream->delivery() == Delivery::kUnknown);
  rig.stream->reset();
}

TEST_CASE("delivery: a reset that a failed write took with it is no FIN, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    rig.stream = &rig.client->lease();
    rig.stream->set_events(rig);
    rig.stream->send_head(request("POST", "/", BodySize::exactly(5)));
    rig.stream->flush();
    char some[10];
    CHECK(::recv(rig.pair.theirs.get(), some, sizeof some, 0) == 10);
    rig.pair.theirs.reset();  // the rest is unread: RST
    Chain body;
    body.append_copy("12345");
    rig.stream->send_body(std::move(body));
    rig.stream->send_end();
    rig.stream->flush();  // fails; now the socket reads as if a FIN had come
  });
  CHECK(rig.stream->delivery() == Delivery::kUnknown);
  rig.stream->reset();
}

TEST_CASE("delivery: a FIN that came before a request of two writes is still proof, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    rig.pair.theirs.reset();
    rig.stream = &rig.client->lease();
    rig.stream->set_events(rig);
    rig.stream->send_head(request("POST", "/", BodySize::exactly(5)));
    rig.stream->flush();
    Chain body;
    body.append_copy("12345");
    rig.stream->send_body(std::move(body));
    rig.stream->send_end();
    rig.stream->flush();
  });
  CHECK(rig.stream->delivery() == Delivery::kNotReceived);
  rig.stream->reset();
}

TEST_CASE("delivery: an answer that is cut by a reset is heard of, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    rig.ask();
    REQUIRE(::send(rig.pair.theirs.get(), "HTTP/1.1 2", 10, 0) == 10);
    rig.pair.theirs.reset();  // with the request unread: RST right behind the bytes
  });
  CHECK(rig.stream->delivery() == Delivery::kUnknown);
  rig.stream->reset();
}

TEST_CASE("delivery: a half-closed upstream may still have read it, TCP") {
  SocketRig rig(tcp_pair());
  rig.run_after_a_first_request([&rig] {
    ::shutdown(rig.pair.theirs.get(), SHUT_WR);
    rig.ask();
  });
  CHECK(rig.broken[0] == ErrorCode::kClosed);
  CHECK(rig.stream->delivery() == Delivery::kUnknown);
  rig.stream->reset();
}

TEST_CASE("delivery: a closed unix socket takes nothing, and that is known") {
  SocketRig rig(unix_pair());
  rig.run_after_a_first_request([&rig] {
    rig.pair.theirs.reset();
    rig.ask();
  });
  CHECK(rig.stream->delivery() == Delivery::kNotSent);
  rig.stream->reset();
}

TEST_CASE("delivery: a unix socket closed after the request was taken proves nothing") {
  SocketRig rig(unix_pair());
  rig.run_after_a_first_request([&rig] {
    rig.ask();
    CHECK(read_some(rig.pair.theirs.get()).find("POST /") == 0);
    rig.pair.theirs.reset();
  });
  CHECK(rig.broken[0] == ErrorCode::kClosed);
  CHECK(rig.stream->delivery() == Delivery::kUnknown);
  rig.stream->reset();
}

}  // namespace
}  // namespace sluice::http
