#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "proxy/exchange/relay.h"
#include "tests/unit/exchange/fake_streams.h"
#include "tests/unit/exchange/relay_filters.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::exchange;
using namespace sluice::testing;

namespace {

constexpr uint64_t kAll = UINT64_MAX;

struct Rig {
  ResponseRelay& start() {
    relay = std::make_unique<ResponseRelay>(client, *filters, *spill, limits, UINT64_MAX);
    return *relay;
  }
  ResponseRelay& from_upstream(std::string body, bool buffered = true) {
    upstream.incoming = std::move(body);
    upstream.complete = true;
    start().from_upstream(upstream, buffered);
    return *relay;
  }
  // Others have their turn in between, and the kernel takes `room` each time.
  Flow pump(uint64_t room) {
    Flow flow = Flow::kYields;
    for (int i = 0; i < 100'000 && flow != Flow::kDone && flow != Flow::kFailed; ++i) {
      client.room = room;
      flow = relay->pump();
    }
    return flow;
  }

  Folder folder;
  SpillBudget budget{folder.path(), 64 << 20};
  SpillBudget* spill = &budget;
  config::Buffering limits;
  filter::FilterChain none;
  filter::FilterChain* filters = &none;
  FakeClient client;
  FakeUpstream upstream;
  std::unique_ptr<ResponseRelay> relay;
};

SharedFile file_of(std::string_view text) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Fd fd(::dup(::fileno(file)));
  std::fclose(file);
  REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return std::make_shared<const Fd>(std::move(fd));
}

}  // namespace

TEST_CASE("response_relay: straight through while the client takes it") {
  Rig rig;
  ResponseRelay& relay = rig.from_upstream("hello");
  rig.upstream.its_trailers.add("X-Sum", "1");
  CHECK(relay.pump() == Flow::kDone);
  CHECK(relay.source_ended());
  CHECK(relay.given() == 5);
  CHECK(rig.client.sent == "hello");
  CHECK(rig.client.ends == 1);
  CHECK(rig.client.trailers_sent.get("X-Sum") == "1");
  CHECK(rig.budget.used() == 0);
}

TEST_CASE("response_relay: what has come goes out while more is awaited") {
  Rig rig;
  ResponseRelay& relay = rig.from_upstream("first");
  rig.upstream.complete = false;
  CHECK(relay.pump() == Flow::kWaitsForSource);
  CHECK(rig.client.sent == "first");
  CHECK(relay.pump() == Flow::kWaitsForSource);
  rig.upstream.incoming = "second";
  rig.upstream.complete = true;
  CHECK(relay.pump() == Flow::kDone);
  CHECK(rig.client.sent == "firstsecond");
}

TEST_CASE("response_relay: it is done when the kernel has it") {
  Rig rig;
  ResponseRelay& relay = rig.from_upstream("hello");
  rig.client.room = 2;
  CHECK(relay.pump() == Flow::kWaitsForSink);
  CHECK(relay.source_ended());
  CHECK(rig.client.ends == 1);
  rig.client.room = kAll;
  CHECK(relay.pump() == Flow::kDone);
  CHECK(rig.client.ends == 1);
}

TEST_CASE("response_relay: unbuffered, a slow client slows the application") {
  Rig rig;
  const std::string body = numbers(2 << 20);
  ResponseRelay& relay = rig.from_upstream(body, false);
  rig.client.room = 0;
  CHECK(relay.pump() == Flow::kWaitsForSink);
  CHECK_FALSE(relay.source_ended());
  CHECK(body.size() - rig.upstream.incoming.size() <= 2 * Block::kSize);
  CHECK(rig.pump(10'000) == Flow::kDone);
  CHECK(rig.client.sent == body);
  CHECK(rig.client.most_unsent <= 2 * Block::kSize);
  CHECK(rig.budget.used() == 0);
}

TEST_CASE("response_relay: buffered, the application is free before the client has it") {
  Rig rig;
  const std::string body = numbers(5 << 20);
  ResponseRelay& relay = rig.from_upstream(body);
  Flow flow = Flow::kYields;
  rig.client.room = 0;
  while (flow == Flow::kYields) flow = relay.pump();
  CHECK(flow == Flow::kWaitsForSink);
  CHECK(relay.source_ended());
  CHECK(rig.client.sent.empty());
  CHECK(rig.budget.used() > (4 << 20));
  CHECK(rig.pump(100'000) == Flow::kDone);
  CHECK(rig.client.sent == body);
  CHECK(rig.client.most_memory <= 3 * Block::kSize);
  rig.relay.reset();
  CHECK(rig.budget.used() == 0);
}

TEST_CASE("response_relay: an answer larger than its share of the disk comes whole") {
  Rig rig;
  const std::string body = numbers(3 << 20);
  rig.limits.disk = 1_MiB;
  SUBCASE("a share") {}
  SUBCASE("none") {
    rig.limits.disk = 0_B;
  }
  ResponseRelay& relay = rig.from_upstream(body);
  Flow flow = Flow::kYields;
  rig.client.room = 0;
  while (flow == Flow::kYields) flow = relay.pump();
  CHECK(flow == Flow::kWaitsForSink);
  CHECK_FALSE(relay.source_ended());
  CHECK(rig.upstream.incoming.size() >= body.size() - rig.limits.disk.count - 4 * Block::kSize);
  CHECK(rig.pump(30'000) == Flow::kDone);
  CHECK(rig.client.sent == body);
  CHECK(rig.client.most_memory <= 4 * Block::kSize);
}

TEST_CASE("response_relay: where nothing can be spilled the answer comes at the client's pace") {
  Rig rig;
  const std::string body = numbers(3 << 20);
  SpillBudget nowhere(rig.folder / "missing", 64 << 20);
  SpillBudget small(rig.folder.path(), 300'000);
  SUBCASE("the folder is not there") {
    rig.spill = &nowhere;
  }
  SUBCASE("all spill files together are at their ceiling") {
    rig.spill = &small;
  }
  rig.from_upstream(body);
  CHECK(rig.pump(30'000) == Flow::kDone);
  CHECK(rig.client.sent == body);
  CHECK(rig.client.most_memory <= 4 * Block::kSize);
}

TEST_CASE("response_relay: a fast pair lets others have their turn") {
  Rig rig;
  ResponseRelay& relay = rig.from_upstream(numbers(4 << 20));
  CHECK(relay.pump() == Flow::kYields);
  CHECK(rig.client.sent.size() == 16 * Block::kSize);
}

TEST_CASE("response_relay: filters see all of it and its end, also when it is stored") {
  Rig rig;
  Marked marked;
  rig.filters = &marked.chain;
  std::string body(300'000, 'a');
  SUBCASE("a body") {}
  SUBCASE("an empty one") {
    body.clear();
  }
  rig.from_upstream(body);
  CHECK(rig.pump(20'000) == Flow::kDone);
  CHECK(rig.client.sent == std::string(body.size(), 'A') + ".");
}

TEST_CASE("response_relay: a filter that fails ends it") {
  Rig rig;
  Marked marked(true);
  rig.filters = &marked.chain;
  SUBCASE("from an upstream") {
    rig.from_upstream("abc");
  }
  SUBCASE("from memory") {
    Chain body;
    body.append_copy("abc");
    rig.start().from_memory(std::move(body));
  }
  CHECK(rig.relay->pump() == Flow::kFailed);
  CHECK(rig.relay->outcome().reason == "filter_failed");
}

TEST_CASE("response_relay: an upstream that broke is heard of elsewhere") {
  Rig rig;
  ResponseRelay& relay = rig.from_upstream("");
  rig.upstream.broken = true;
  CHECK(relay.pump() == Flow::kWaitsForSource);
  CHECK_FALSE(relay.source_ended());
  CHECK(rig.client.ends == 0);
}

TEST_CASE("response_relay: an answer of our own, from memory and from files") {
  Rig rig;
  ResponseRelay& relay = rig.start();
  CHECK(relay.source_ended());
  Chain body;
  body.append_copy("head ");
  body.append_file(file_of("0123456789"), 2, 6);
  relay.from_memory(std::move(body));
  rig.client.room = 7;
  CHECK(relay.pump() == Flow::kWaitsForSink);
  rig.client.room = kAll;
  CHECK(relay.pump() == Flow::kDone);
  CHECK(rig.client.sent == "head 234567");
  CHECK(relay.given() == 11);
}

TEST_CASE("response_relay: an empty answer is an end") {
  Rig rig;
  rig.start().from_memory({});
  CHECK(rig.relay->pump() == Flow::kDone);
  CHECK(rig.client.ends == 1);
  CHECK(rig.client.sent.empty());
}

TEST_CASE("response_relay: files are read for filters, a bounded part at a time") {
  Rig rig;
  Marked marked;
  rig.filters = &marked.chain;
  const std::string content(700'000, 'f');
  Chain body;
  body.append_copy("m");
  body.append_file(file_of(content), 0, content.size());
  rig.start().from_memory(std::move(body));
  CHECK(rig.pump(50'000) == Flow::kDone);
  CHECK(rig.client.sent == "M" + std::string(content.size(), 'F') + ".");
  CHECK(rig.client.most_memory <= 3 * Block::kSize);
}

TEST_CASE("response_relay: a file that became shorter cannot be filtered") {
  Rig rig;
  Marked marked;
  rig.filters = &marked.chain;
  Chain body;
  body.append_file(file_of("short"), 0, 100);
  rig.start().from_memory(std::move(body));
  CHECK(rig.pump(kAll) == Flow::kFailed);
  CHECK(rig.relay->outcome().reason == "file_read_failed");
}
