#include "proxy/net/srv_reply.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::net;

namespace {

// Builds replies as a name server writes them.
struct Reply {
  std::vector<uint8_t> bytes;

  Reply() {
    for (const unsigned word : {0x0001U, 0x8180U, 1U, 0U, 0U, 0U}) u16(word);
    name("_http._tcp.app.test");
    u16(33);
    u16(1);
  }
  void u16(unsigned value) {
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
  }
  void name(std::string_view text) {
    while (!text.empty()) {
      const size_t dot = std::min(text.find('.'), text.size());
      bytes.push_back(static_cast<uint8_t>(dot));
      bytes.insert(bytes.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(dot));
      text.remove_prefix(std::min(dot + 1, text.size()));
    }
    bytes.push_back(0);
  }
  void count() { ++bytes[7]; }
  void record_head(unsigned type, unsigned ttl) {
    count();
    u16(0xc00c);
    u16(type);
    u16(1);
    u16(ttl >> 16);
    u16(ttl & 0xffff);
  }
  void srv(unsigned priority, unsigned weight, unsigned port, std::string_view target,
           unsigned ttl = 60) {
    record_head(33, ttl);
    const size_t size = target.empty() ? 1 : target.size() + 2;
    u16(static_cast<unsigned>(6 + size));
    u16(priority);
    u16(weight);
    u16(port);
    name(target);
  }
};

}  // namespace

TEST_CASE("srv: records are sorted, and the least time to live counts") {
  Reply reply;
  reply.srv(20, 1, 80, "b.test", 300);
  reply.srv(10, 5, 8000, "Z.test", 7);
  reply.srv(10, 5, 8000, "a.test", 60);
  const auto found = parse_srv_reply(reply.bytes);
  REQUIRE(found);
  CHECK(found->ttl == std::chrono::seconds(7));
  REQUIRE(found->services.size() == 3);
  CHECK(found->services[0] == Service{"a.test", 8000, 10, 5});
  CHECK(found->services[1] == Service{"z.test", 8000, 10, 5});
  CHECK(found->services[2] == Service{"b.test", 80, 20, 1});
}

TEST_CASE("srv: a target that points into the message is followed") {
  Reply reply;
  reply.record_head(33, 60);
  reply.u16(8);
  reply.u16(0);
  reply.u16(0);
  reply.u16(80);
  reply.u16(0xc000 | (12 + 11));  // "app.test" of the question
  const auto found = parse_srv_reply(reply.bytes);
  REQUIRE(found);
  CHECK(found->services[0].target == "app.test");
}

TEST_CASE("srv: a target of \".\" is no service; other records are passed over") {
  Reply reply;
  reply.record_head(1, 5);  // an A record that nobody asked for
  reply.u16(4);
  reply.u16(1);
  reply.u16(2);
  reply.srv(0, 0, 0, "");
  const auto found = parse_srv_reply(reply.bytes);
  REQUIRE(found);
  CHECK(found->services.empty());
  CHECK(found->ttl == std::chrono::seconds(60));
}

TEST_CASE("srv: what is cut anywhere is refused") {
  Reply reply;
  reply.srv(10, 5, 8000, "one.test");
  reply.srv(10, 5, 8000, "two.test");
  REQUIRE(parse_srv_reply(reply.bytes));
  for (size_t size = 0; size < reply.bytes.size(); ++size) {
    CHECK_FALSE(parse_srv_reply(std::span(reply.bytes).first(size)));
  }
}

TEST_CASE("srv: names that loop, are no host names, or end elsewhere are refused") {
  SUBCASE("a pointer to itself") {
    Reply reply;
    reply.record_head(33, 60);
    reply.u16(8);
    reply.u16(0);
    reply.u16(0);
    reply.u16(80);
    reply.u16(0xc000 | static_cast<unsigned>(reply.bytes.size()));
    CHECK_FALSE(parse_srv_reply(reply.bytes));
  }
  SUBCASE("a space in it") {
    Reply reply;
    reply.srv(0, 0, 80, "a b.test");
    CHECK_FALSE(parse_srv_reply(reply.bytes));
  }
  SUBCASE("more data than the record says") {
    Reply reply;
    reply.srv(0, 0, 80, "one.test");
    reply.bytes[reply.bytes.size() - 10 - 7]--;  // its length
    CHECK_FALSE(parse_srv_reply(reply.bytes));
  }
}

TEST_CASE("srv: there is a ceiling, and it cuts the same part whatever the order") {
  Reply forward;
  Reply backward;
  for (unsigned i = 0; i < 100; ++i) {
    forward.srv(i, 1, 80, "t.test");
    backward.srv(99 - i, 1, 80, "t.test");
  }
  const auto found = parse_srv_reply(forward.bytes);
  REQUIRE(found);
  CHECK(found->services.size() == kMostServices);
  CHECK(found->services == parse_srv_reply(backward.bytes)->services);
}
