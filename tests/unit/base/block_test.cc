#include "proxy/base/block.h"

#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using sluice::Block;
using sluice::BlockRef;

TEST_CASE("block: the one freed last is given first") {
  BlockRef first = BlockRef::make();
  const Block* was = first.get();
  first.reset();
  CHECK(BlockRef::make().get() == was);
}

TEST_CASE("block: what is held is counted, of either kind") {
  const size_t before = Block::held();
  {
    const BlockRef pooled = BlockRef::make();
    const BlockRef odd = BlockRef::make(1000);
    CHECK(pooled->capacity() == Block::kSize);
    CHECK(odd->capacity() == 1000);
    CHECK(Block::held() == before + Block::kSize + 1000);
  }
  CHECK(Block::held() == before);
}

TEST_CASE("block: it is shared while there are two holders") {
  BlockRef one = BlockRef::make(10);
  CHECK_FALSE(one->is_shared());
  BlockRef two = one;
  CHECK(one->is_shared());
  const BlockRef moved = std::move(two);
  CHECK(one->is_shared());
  CHECK_FALSE(two);  // NOLINT: moved from is empty, by contract
  one = moved;       // the same block
  CHECK(one->is_shared());
  one.reset();
  CHECK_FALSE(moved->is_shared());
}

TEST_CASE("block: spares have a ceiling and can be given back") {
  const size_t before = Block::held();
  std::vector<BlockRef> many;
  for (int i = 0; i < 200; ++i) many.push_back(BlockRef::make());
  CHECK(Block::held() == before + 200 * Block::kSize);
  many.clear();
  CHECK(Block::held() == before);
  Block::trim();
  CHECK(BlockRef::make()->capacity() == Block::kSize);
}

TEST_CASE("block: each thread has its own pool and its own count") {
  const BlockRef ours = BlockRef::make();
  size_t theirs = 1;
  std::thread([&theirs] {
    { const BlockRef block = BlockRef::make(); }
    theirs = Block::held();
  }).join();
  CHECK(theirs == 0);
}
