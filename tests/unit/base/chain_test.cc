#include "proxy/base/chain.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <unistd.h>

using sluice::Block;
using sluice::BlockRef;
using sluice::Chain;
using sluice::Fd;
using sluice::SharedFile;

namespace {

Chain chain_of(std::string_view text) {
  Chain made;
  made.append_copy(text);
  return made;
}

// Each word in a block of its own.
Chain pieces_of(std::initializer_list<std::string_view> words) {
  Chain made;
  for (const auto word : words) {
    BlockRef block = BlockRef::make(word.size());
    std::memcpy(block->data(), word.data(), word.size());
    const char* data = block->data();
    made.append(std::move(block), data, word.size());
  }
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

TEST_CASE("chain: what it pins is the blocks its bytes are in, each once") {
  Chain chain;
  CHECK(chain.pinned() == 0);
  BlockRef block = BlockRef::make();
  chain.append(block, block->data(), 2000);
  chain.append(block, block->data() + 3000, 2000);
  CHECK(chain.memory() == 4000);
  CHECK(chain.pinned() == Block::kSize);
  BlockRef other = BlockRef::make(5000);
  chain.append(other, other->data(), 2000);
  CHECK(chain.pinned() == Block::kSize + 5000);
  chain.drop_front(4000);
  CHECK(chain.pinned() == 5000);
}

TEST_CASE("chain: copied bytes fill the tail block") {
  Chain chain = chain_of("one ");
  chain.append_copy("two");
  CHECK(chain.to_string() == "one two");
  CHECK(chain.size() == 7);
  CHECK(chain.memory() == 7);
  CHECK(chain.piece_count() == 1);
}

TEST_CASE("chain: copied bytes never go into a block that somebody else holds") {
  Chain chain = chain_of("abcdef");
  Chain front = chain.take_front(3);
  front.append_copy("XYZ");  // right behind "abc" lies "def"
  CHECK(front.to_string() == "abcXYZ");
  CHECK(chain.to_string() == "def");
}

TEST_CASE("chain: more than a block is copied whole") {
  const std::string text(3 * Block::kSize + 17, 'x');
  Chain chain = chain_of("begin");
  chain.append_copy(text);
  CHECK(chain.to_string() == "begin" + text);
}

TEST_CASE("chain: neighbours in a block are one piece") {
  BlockRef block = BlockRef::make(8);
  std::memcpy(block->data(), "abcdefgh", 8);
  Chain chain;
  chain.append(block, block->data(), 3);
  chain.append(block, block->data() + 3, 2);
  CHECK(chain.piece_count() == 1);
  chain.append(block, block->data() + 6, 2);
  CHECK(chain.piece_count() == 2);
  CHECK(chain.to_string() == "abcdegh");
}

TEST_CASE("chain: nothing appended is no piece") {
  Chain chain;
  chain.append(BlockRef::make(1), nullptr, 0);
  chain.append_file(file_of(""), 0, 0);
  chain.append_copy("");
  chain.append(Chain{});
  CHECK(chain.empty());
  CHECK(chain.piece_count() == 0);
}

TEST_CASE("chain: the front is taken across pieces and shares their blocks") {
  Chain chain = pieces_of({"abc", "def", "ghi"});
  Chain front = chain.take_front(4);
  CHECK(front.to_string() == "abcd");
  CHECK(chain.to_string() == "efghi");
  CHECK(front.memory() == 4);
  CHECK(chain.memory() == 5);
  CHECK(chain.front().block->is_shared());
  front.clear();
  CHECK_FALSE(chain.front().block->is_shared());
  Chain rest = chain.take_front(5);
  CHECK(chain.empty());
  CHECK(chain.memory() == 0);
  CHECK(rest.to_string() == "efghi");
}

TEST_CASE("chain: dropping the front lets its blocks go") {
  const size_t before = Block::held();
  Chain chain = pieces_of({"abc", "defgh"});
  chain.drop_front(3);
  CHECK(Block::held() == before + 5);
  chain.drop_front(2);
  CHECK(chain.to_string() == "fgh");
  chain.drop_front(3);
  CHECK(Block::held() == before);
  CHECK(chain.empty());
}

TEST_CASE("chain: file ranges are counted but cost no memory") {
  const SharedFile file = file_of("0123456789");
  Chain chain = chain_of("head");
  chain.append_file(file, 0, 4);
  chain.append_file(file, 4, 2);  // goes on where the other ended
  CHECK(chain.piece_count() == 2);
  chain.append_file(file, 8, 2);
  CHECK(chain.piece_count() == 3);
  CHECK(chain.size() == 12);
  CHECK(chain.memory() == 4);
  CHECK_FALSE(chain.starts_with_file());
  chain.drop_front(5);
  CHECK(chain.starts_with_file());
  CHECK(chain.front().offset == 1);
  CHECK(chain.front().size == 5);
  const Chain front = chain.take_front(6);
  CHECK(front.size() == 6);
  CHECK(front.memory() == 0);
  CHECK(chain.front().offset == 9);
}

TEST_CASE("chain: copied bytes behind a file are a piece of their own") {
  Chain chain;
  chain.append_file(file_of("x"), 0, 1);
  chain.append_copy("tail");
  CHECK(chain.piece_count() == 2);
  CHECK(chain.piece(1).view() == "tail");
}

TEST_CASE("chain: what is prepared counts when it is committed") {
  Chain chain;
  std::memcpy(chain.prepare(100), "abc", 3);
  CHECK(chain.empty());
  chain.commit(3);
  std::memcpy(chain.prepare(10), "def", 3);
  chain.commit(3);
  CHECK(chain.to_string() == "abcdef");
  CHECK(chain.piece_count() == 1);
  chain.prepare(Block::kSize);  // no room for so much behind them
  chain.commit(0);
  CHECK(chain.piece_count() == 1);
  std::memset(chain.prepare(Block::kSize * 2), 'x', Block::kSize * 2);
  chain.commit(Block::kSize * 2);
  CHECK(chain.size() == 6 + Block::kSize * 2);
}

TEST_CASE("chain: appended chains are moved, whole or behind others") {
  Chain chain;
  Chain first = pieces_of({"a", "b"});
  Chain second = pieces_of({"c"});
  second.append_file(file_of("z"), 0, 1);
  chain.append(std::move(first));
  chain.append(std::move(second));
  CHECK(second.empty());  // NOLINT: moved from is empty, by contract
  CHECK(second.piece_count() == 0);
  CHECK(chain.size() == 4);
  CHECK(chain.memory() == 3);
  CHECK(chain.piece(3).is_file());
}

TEST_CASE("chain: a moved-from chain can be used again") {
  Chain chain = chain_of("first");
  const Chain taken = std::move(chain);
  chain.append_copy("second");  // NOLINT: that is the point
  CHECK(taken.to_string() == "first");
  CHECK(chain.to_string() == "second");
  Chain& same = chain;
  chain = std::move(same);
  CHECK(chain.to_string() == "second");
}

TEST_CASE("chain: compacted, few bytes no longer pin large blocks") {
  constexpr size_t kFew = 2000;
  const size_t before = Block::held();
  Chain chain;
  for (int i = 0; i < 8; ++i) {
    BlockRef block = BlockRef::make();
    std::memset(block->data(), 't', kFew);
    const char* data = block->data();
    chain.append(std::move(block), data, kFew);
  }
  chain.append_file(file_of("f"), 0, 1);
  BlockRef full = BlockRef::make();
  std::memset(full->data(), 'x', Block::kSize);
  const char* kept = full->data();
  chain.append(std::move(full), kept, Block::kSize);
  CHECK(Block::held() == before + 9 * Block::kSize);
  chain.compact();
  CHECK(Block::held() <= before + 2 * Block::kSize);
  REQUIRE(chain.piece_count() == 6);
  CHECK(chain.piece(0).size == 4096);  // blocks of their own size, filled
  CHECK(chain.piece(4).is_file());
  CHECK(chain.piece(5).data == kept);  // nearly all of it is used: not worth a copy
}

TEST_CASE("chain: whatever is done to it, it is the same as a string") {
  std::mt19937 dice(42);
  Chain chain;
  std::string model;
  for (int i = 0; i < 5000; ++i) {
    const size_t n = dice() % 40;
    const std::string text(n, static_cast<char>('a' + dice() % 26));
    switch (dice() % 7) {
      case 0: chain.append_copy(text), model += text; break;
      case 1: chain.append(pieces_of({text, "|"})), model += text + "|"; break;
      case 2:
        if (n > 0) std::memcpy(chain.prepare(n), text.data(), n);
        if (n > 0) chain.commit(n);
        model += text;
        break;
      case 3:
      case 4: {
        const size_t most = std::min(n * 2, model.size());
        chain.drop_front(most);
        model.erase(0, most);
        break;
      }
      case 5: {
        const size_t most = std::min(n, model.size());
        Chain front = chain.take_front(most);
        REQUIRE(front.to_string() == model.substr(0, most));
        front.append(std::move(chain));
        chain = std::move(front);
        break;
      }
      default:
        if (dice() % 16 == 0) chain.compact();
    }
    REQUIRE(chain.size() == model.size());
    REQUIRE(chain.memory() == model.size());
  }
  CHECK(chain.to_string() == model);
}
