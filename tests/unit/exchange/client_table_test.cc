#include "proxy/exchange/client_table.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/net/proxy_header.h"

using namespace sluice;
using namespace sluice::exchange;
using std::chrono::milliseconds;

namespace {

constexpr TimePoint kStart{std::chrono::hours(1)};

net::IpPort ip(const std::string& text) {
  const auto found = net::ip_port_of(text, 0);
  REQUIRE(found);
  return *found;
}

net::IpPort numbered(uint32_t n) {
  net::IpPort client = ip("10.0.0.0");
  for (size_t i = 0; i < 4; ++i) client.ip[15 - i] = static_cast<uint8_t>(n >> 8 * i);
  return client;
}

ClientRate rate(uint32_t count, uint32_t burst = 0, uint32_t scope = 1) {
  return ClientRate({count, std::chrono::seconds(1), burst}, scope);
}

// How many are admitted, asked at the same time.
int admitted(ClientTable& table, const net::IpPort& client, const ClientRate& limit, TimePoint now,
             int asked = 100) {
  int count = 0;
  for (int i = 0; i < asked; ++i) count += table.take(client, limit, now).admitted ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("client_table: a burst, then the rate") {
  ClientTable table(1024);
  const auto client = ip("203.0.113.7");
  const ClientRate limit = rate(10, 3);
  CHECK(admitted(table, client, limit, kStart) == 3);
  CHECK(admitted(table, client, limit, kStart + milliseconds(99)) == 0);
  CHECK(admitted(table, client, limit, kStart + milliseconds(100)) == 1);
  CHECK(admitted(table, client, limit, kStart + milliseconds(350)) == 2);
  CHECK(admitted(table, client, limit, kStart + std::chrono::hours(1)) == 3);
}

TEST_CASE("client_table: without a burst as many at once as the rate says") {
  ClientTable table(1024);
  CHECK(admitted(table, ip("203.0.113.7"), rate(10), kStart) == 10);
}

TEST_CASE("client_table: a refusal says how long, and costs nothing") {
  ClientTable table(1024);
  const auto client = ip("203.0.113.7");
  const ClientRate limit = rate(10, 1);
  CHECK(table.take(client, limit, kStart).admitted);
  const auto refused = table.take(client, limit, kStart + milliseconds(40));
  CHECK_FALSE(refused.admitted);
  CHECK(refused.wait == milliseconds(60));
  CHECK(table.take(client, limit, kStart + milliseconds(40)).wait == milliseconds(60));
  CHECK(table.take(client, limit, kStart + milliseconds(100)).admitted);
}

TEST_CASE("client_table: clients and scopes are apart, addresses of a /64 are not") {
  ClientTable table(1024);
  const ClientRate limit = rate(10, 1);
  CHECK(admitted(table, ip("203.0.113.7"), limit, kStart) == 1);
  CHECK(admitted(table, ip("203.0.113.8"), limit, kStart) == 1);
  CHECK(admitted(table, ip("203.0.113.7"), rate(10, 1, 2), kStart) == 1);
  CHECK(admitted(table, ip("2001:db8:0:1::1"), limit, kStart) == 1);
  CHECK(admitted(table, ip("2001:db8:0:1:ffff::2"), limit, kStart) == 0);
  CHECK(admitted(table, ip("2001:db8:0:2::1"), limit, kStart) == 1);
}

TEST_CASE("client_table: a flood of addresses does not make it forget who is over its rate") {
  ClientTable table(1024);
  const auto offender = ip("203.0.113.7");
  const ClientRate limit = rate(10, 5);
  CHECK(admitted(table, offender, limit, kStart) == 5);
  int after = 0;
  for (int turn = 0; turn < 100; ++turn) {  // a tenth of a second, and all of 10/8's first /15
    const TimePoint now = kStart + milliseconds(turn);
    for (uint32_t n = 0; n < 1000; ++n) {
      table.take(numbered(static_cast<uint32_t>(turn) * 1000 + n), limit, now);
    }
    after += admitted(table, offender, limit, now, 5);
  }
  CHECK(after <= 1);  // what its rate gives
}

TEST_CASE("client_table: who is let in unremembered is told apart") {
  ClientTable table(1024);
  const ClientRate limit = rate(1, 1);
  int forgotten = 0;
  for (uint32_t n = 0; n < 4000; ++n) {
    const auto verdict = table.take(numbered(n), limit, kStart);
    CHECK(verdict.admitted);
    forgotten += verdict.remembered ? 0 : 1;
  }
  CHECK(forgotten > 2900);
  CHECK(forgotten < 3500);
  // Their debts are paid: the places are free again.
  int later = 0;
  for (uint32_t n = 0; n < 500; ++n) {
    later += table.take(numbered(n), limit, kStart + std::chrono::seconds(2)).remembered ? 1 : 0;
  }
  CHECK(later > 450);
}

TEST_CASE("client_table: places of connections come back") {
  ClientTable table(1024);
  const auto client = ip("203.0.113.7");
  {
    ClientTable::Place first;
    ClientTable::Place second;
    ClientTable::Place third;
    CHECK(table.take_place(client, 1, 2, first).admitted);
    CHECK(table.take_place(client, 1, 2, second).admitted);
    CHECK_FALSE(table.take_place(client, 1, 2, third).admitted);
    CHECK(table.take_place(client, 2, 2, third).admitted);  // another listener's
    ClientTable::Place other;
    CHECK(table.take_place(ip("203.0.113.8"), 1, 2, other).admitted);
    ClientTable::Place moved = std::move(first);
    first = ClientTable::Place();
    CHECK_FALSE(table.take_place(client, 1, 2, first).admitted);
    moved = ClientTable::Place();
    CHECK(table.take_place(client, 1, 2, first).admitted);
  }
  std::vector<ClientTable::Place> again(3);
  CHECK(table.take_place(client, 1, 2, again[0]).admitted);
  CHECK(table.take_place(client, 1, 2, again[1]).admitted);
  CHECK_FALSE(table.take_place(client, 1, 2, again[2]).admitted);
}

TEST_CASE("client_table: connections that are open are never forgotten") {
  ClientTable table(1024);
  const auto client = ip("203.0.113.7");
  ClientTable::Place first;
  CHECK(table.take_place(client, 1, 1, first).admitted);
  std::vector<ClientTable::Place> flood(5000);
  int forgotten = 0;
  for (uint32_t n = 0; n < flood.size(); ++n) {
    forgotten += table.take_place(numbered(n), 1, 1, flood[n]).remembered ? 0 : 1;
  }
  CHECK(forgotten > 3900);
  ClientTable::Place second;
  CHECK_FALSE(table.take_place(client, 1, 1, second).admitted);
}

TEST_CASE("client_table: threads together admit what the limits say") {
  ClientTable table(1024);
  const auto client = ip("203.0.113.7");
  const ClientRate limit = rate(1, 1000);
  std::atomic<int> taken{0};
  std::atomic<int> most{0};
  std::atomic<int> open{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        if (const auto verdict = table.take(client, limit, kStart);
            verdict.admitted && verdict.remembered)
          ++taken;
        ClientTable::Place place;
        const auto found = table.take_place(client, 1, 3, place);
        if (!found.admitted || !found.remembered) continue;
        const int now = ++open;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        --open;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(taken == 1000);
  CHECK(most <= 3);
}
