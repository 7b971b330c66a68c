#include "proxy/net/resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/base/fd.h"
#include "tests/unit/net/rounds.h"

using namespace sluice;
using namespace sluice::net;
using sluice::testing::Rounds;

namespace {

constexpr int kA = 1;
constexpr int kAaaa = 28;

// A name server that is turned by the test: answers what `reply` makes of a question.
struct NameServer {
  NameServer() : fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  }
  config::Address address() const {
    const auto local = SocketAddress::of_local(fd.get());
    return {local.text(), false, "127.0.0.1", local.ip_port().port};
  }

  void serve() {
    for (;;) {
      uint8_t in[512];
      sockaddr_in client{};
      socklen_t size = sizeof client;
      const auto n =
          ::recvfrom(fd.get(), in, sizeof in, 0, reinterpret_cast<sockaddr*>(&client), &size);
      if (n < 17) return;
      ++questions;
      std::vector<uint8_t> out(in, in + n);
      const int type = in[n - 3];
      out[2] = 0x81;
      out[3] = static_cast<uint8_t>(0x80 | rcode);
      out[6] = 0;
      out[7] = 0;
      if (is_silent) continue;
      if (rcode == 0 && type == kA) {
        for (const uint8_t last : v4) add(out, kA, {127, 0, 0, last});
      }
      if (rcode == 0 && type == kAaaa && has_v6) {
        add(out, kAaaa, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
      }
      ::sendto(fd.get(), out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&client), size);
    }
  }
  void add(std::vector<uint8_t>& out, int type, std::vector<uint8_t> data) const {
    ++out[7];
    const std::vector<uint8_t> head = {0xc0, 0x0c, 0, static_cast<uint8_t>(type),       0, 1, 0, 0,
                                       0,    ttl,  0, static_cast<uint8_t>(data.size())};
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), data.begin(), data.end());
  }

  const Fd fd;
  std::vector<uint8_t> v4 = {3, 2};
  bool has_v6 = false;
  bool is_silent = false;
  uint8_t ttl = 30;
  uint8_t rcode = 0;
  int questions = 0;
};

struct Asker final : LookupEvents {
  void on_addresses(Lookup&, const AddressAnswer& its) override { answer = its; }
  void on_services(Lookup&, const Result<ServiceAnswer>& its) override { services = its; }
  std::optional<AddressAnswer> answer;
  std::optional<Result<ServiceAnswer>> services;
};

struct Rig {
  Rig() {
    settings.servers = {server.address()};
    settings.timeout = std::chrono::milliseconds(100);
    settings.tries = 1;
    resolver.emplace(rounds.loop(), settings);
  }
  bool until(const std::function<bool()>& done) {
    return rounds.until([this, &done] {
      server.serve();
      return done();
    });
  }
  std::vector<std::string> texts(const Result<std::vector<SocketAddress>>& found) {
    std::vector<std::string> out;
    REQUIRE(found);
    for (const auto& address : *found) out.push_back(address.text());
    return out;
  }

  Rounds rounds;
  NameServer server;
  config::Resolver settings;
  std::optional<Resolver> resolver;
  Asker asker;
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("resolver: both families, sorted, with the port, and the least time to live") {
  Rig rig;
  rig.server.has_v6 = true;
  const auto lookup = rig.resolver->addresses("app.test", 8000, rig.asker);
  CHECK_FALSE(rig.asker.answer);
  REQUIRE(rig.until([&] { return rig.asker.answer.has_value(); }));
  CHECK(rig.texts(rig.asker.answer->v4) == Texts{"127.0.0.2:8000", "127.0.0.3:8000"});
  CHECK(rig.texts(rig.asker.answer->v6) == Texts{"[::1]:8000"});
  CHECK(rig.asker.answer->ttl == std::chrono::seconds(30));
  CHECK(rig.resolver->outstanding() == 0);
}

TEST_CASE("resolver: a family that the name has not is empty, not a failure") {
  Rig rig;
  const auto lookup = rig.resolver->addresses("app.test", 80, rig.asker);
  REQUIRE(rig.until([&] { return rig.asker.answer.has_value(); }));
  CHECK(rig.texts(rig.asker.answer->v6).empty());
}

TEST_CASE("resolver: what goes wrong has its own words") {
  Rig rig;
  std::string says;
  SUBCASE("no such name") {
    rig.server.rcode = 3;
    says = "there is no such name";
  }
  SUBCASE("the server fails") {
    rig.server.rcode = 2;
    says = "(SERVFAIL)";
  }
  SUBCASE("silence") {
    rig.server.is_silent = true;
    says = "no name server answers";
  }
  const auto lookup = rig.resolver->addresses("app.test", 80, rig.asker);
  REQUIRE(rig.until([&] { return rig.asker.answer.has_value(); }));
  REQUIRE_FALSE(rig.asker.answer->v4);
  REQUIRE_FALSE(rig.asker.answer->v6);
  CHECK(rig.asker.answer->v4.error().detail.find(says) != std::string::npos);
}

TEST_CASE("resolver: the hosts file answers without a server, and on a later tick") {
  Rig rig;
  const auto lookup = rig.resolver->addresses("localhost", 80, rig.asker);
  CHECK_FALSE(rig.asker.answer);
  REQUIRE(rig.until([&] { return rig.asker.answer.has_value(); }));
  CHECK(rig.texts(rig.asker.answer->v4) == Texts{"127.0.0.1:80"});
  CHECK(rig.server.questions == 0);
}

TEST_CASE("resolver: a lookup that is gone is not told") {
  Rig rig;
  auto lookup = rig.resolver->addresses("app.test", 80, rig.asker);
  CHECK(rig.resolver->outstanding() == 2);
  lookup.reset();
  REQUIRE(rig.until([&] { return rig.resolver->outstanding() == 0; }));
  CHECK_FALSE(rig.asker.answer);
}

TEST_CASE("resolver: with a ceiling") {
  Rig rig;
  rig.server.is_silent = true;
  std::vector<std::unique_ptr<Lookup>> lookups;
  std::vector<Asker> askers(129);
  for (auto& asker : askers) {
    lookups.push_back(rig.resolver->addresses("app.test", 80, asker));
  }
  CHECK(rig.resolver->outstanding() == 256);
  REQUIRE(rig.until([&] { return askers.back().answer.has_value(); }));
  CHECK(askers.back().answer->v4.error().code == ErrorCode::kOverloaded);
}

TEST_CASE("resolver: what is being asked is asked again of the servers of a reload") {
  Rig rig;
  rig.server.is_silent = true;
  const auto lookup = rig.resolver->addresses("app.test", 80, rig.asker);
  REQUIRE(rig.until([&] { return rig.server.questions == 2; }));
  NameServer other;
  rig.settings.servers = {other.address()};
  rig.resolver->apply(rig.settings);
  CHECK_FALSE(rig.asker.answer);
  REQUIRE(rig.rounds.until([&] {
    other.serve();
    return rig.asker.answer.has_value();
  }));
  CHECK(rig.texts(rig.asker.answer->v4).size() == 2);
}

TEST_CASE("resolver: services are asked for, and a name without any is a failure") {
  Rig rig;
  rig.server.v4.clear();
  const auto lookup = rig.resolver->services("_http._tcp.app.test", rig.asker);
  REQUIRE(rig.until([&] { return rig.asker.services.has_value(); }));
  REQUIRE_FALSE(*rig.asker.services);
  CHECK(rig.asker.services->error().code == ErrorCode::kNotFound);
}
