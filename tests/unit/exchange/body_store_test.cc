#include "proxy/exchange/body_store.h"

#include <cstring>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "tests/unit/exchange/fake_streams.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::exchange;
using namespace sluice::testing;

namespace {

struct Rig {
  explicit Rig(Bytes memory = 64_KiB, Bytes disk = 1_MiB, uint64_t ceiling = UINT64_MAX)
      : store(budget, {true, true, memory, disk}, ceiling) {}
  Status put(std::string_view text, bool settled = false) {
    Chain bytes;
    bytes.append_copy(text);
    return store.append(std::move(bytes), settled);
  }
  Folder folder;
  SpillBudget budget{folder.path(), 8 << 20};
  BodyStore store;
};

std::string bytes_of(Chain&& chain) {
  FakeClient reader;
  reader.send_body(std::move(chain));
  reader.flush();
  return reader.sent;
}

}  // namespace

TEST_CASE("body_store: what fits stays in memory") {
  Rig rig;
  REQUIRE(rig.put("small "));
  REQUIRE(rig.put("body", true));
  CHECK(rig.budget.used() == 0);
  CHECK(rig.store.size() == 10);
  const Chain all = rig.store.take();
  CHECK(all.to_string() == "small body");
  CHECK(rig.store.empty());
}

TEST_CASE("body_store: from memory to the file, and out again in order") {
  Rig rig(10_B);
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string piece = std::to_string(i) + ";";
    REQUIRE(rig.put(piece));
    all += piece;
  }
  CHECK(rig.store.size() == all.size());
  CHECK(rig.budget.used() > 0);
  CHECK(rig.budget.used() >= all.size() - 10);
  CHECK(bytes_of(rig.store.take()) == all);
}

TEST_CASE("body_store: what is taken does not come again") {
  Rig rig(4_B);
  REQUIRE(rig.put("memo"));
  REQUIRE(rig.put("file one"));
  CHECK(bytes_of(rig.store.take()) == "memofile one");
  REQUIRE(rig.put("two"));
  REQUIRE(rig.put("three"));
  CHECK(rig.store.size() == 8);
  CHECK(bytes_of(rig.store.take()) == "twothree");
  CHECK(rig.store.take().empty());
}

TEST_CASE("body_store: it is replayed as often as needed") {
  Rig rig(8_B);
  REQUIRE(rig.put("in memo;"));
  REQUIRE(rig.put("in the file", true));
  for (int i = 0; i < 3; ++i) CHECK(bytes_of(rig.store.replay()) == "in memo;in the file");
  CHECK(rig.store.size() == 19);
  CHECK(bytes_of(rig.store.take()) == "in memo;in the file");
}

TEST_CASE("body_store: small pieces do not pin the blocks they came in") {
  Rig rig;
  const size_t before = Block::held();
  for (int i = 0; i < 100; ++i) {
    BlockRef block = BlockRef::make();
    std::memcpy(block->data(), "tiny", 4);
    const char* data = block->data();
    Chain bytes;
    bytes.append(std::move(block), data, 4);
    REQUIRE(rig.store.append(std::move(bytes), false));
  }
  CHECK(Block::held() <= before + Block::kSize);
  CHECK(rig.store.take().size() == 400);
}

TEST_CASE("body_store: above the worker's ceiling of memory everything spills") {
  Rig rig(64_KiB, 1_MiB, Block::held());
  REQUIRE(rig.put("not much"));
  CHECK(rig.budget.used() == 8);
  CHECK(bytes_of(rig.store.take()) == "not much");
}

TEST_CASE("body_store: a body's share of the disk has an end") {
  Rig rig(4_B, 10_B);
  REQUIRE(rig.put("memo"));
  CHECK(rig.store.has_room());
  REQUIRE(rig.put("123456789"));
  CHECK(rig.store.has_room());
  Chain more;
  more.append_copy("ab");
  const auto refused = rig.store.append(std::move(more), false);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kTooLarge);
  CHECK(more.to_string() == "ab");  // NOLINT: what is refused is still the caller's
  REQUIRE(rig.put("a"));
  CHECK_FALSE(rig.store.has_room());
  CHECK(bytes_of(rig.store.take()) == "memo123456789a");
}

TEST_CASE("body_store: without disk there is memory") {
  Rig rig(8_B, 0_B);
  REQUIRE(rig.put("12345678"));
  CHECK_FALSE(rig.store.has_room());
  const auto refused = rig.put("9");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kTooLarge);
  CHECK(rig.store.take().to_string() == "12345678");
}

TEST_CASE("body_store: the ceiling of all bodies together is told apart") {
  Rig rig(4_B);
  rig.budget.set_ceiling(6);
  REQUIRE(rig.put("12345"));
  const auto refused = rig.put("6789");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kOverloaded);
  CHECK(bytes_of(rig.store.replay()) == "12345");
}

TEST_CASE("body_store: cleared, it gives back what it held; what was handed out stays whole") {
  Rig rig(8_B);
  const size_t before = Block::held();
  REQUIRE(rig.put("in memo;"));
  REQUIRE(rig.put("in the file"));
  Chain sending = rig.store.replay();
  rig.store.clear();
  CHECK(rig.store.empty());
  CHECK(rig.store.replay().empty());
  CHECK(rig.budget.used() == 0);
  CHECK(bytes_of(std::move(sending)) == "in memo;in the file");
  CHECK(Block::held() == before);
}
