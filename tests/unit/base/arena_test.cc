#include "proxy/base/arena.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using sluice::Arena;

TEST_CASE("arena: what was copied in stays, however much follows") {
  Arena arena;
  std::vector<std::string_view> views;
  for (int i = 0; i < 5000; ++i) views.push_back(arena.copy("text " + std::to_string(i)));
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(views[static_cast<size_t>(i)] == "text " + std::to_string(i));
  }
}

TEST_CASE("arena: a text larger than a chunk gets room of its own") {
  Arena arena;
  const std::string large(100'000, 'x');
  const auto small = arena.copy("small");
  CHECK(arena.copy(large) == large);
  CHECK(arena.copy("after") == "after");
  CHECK(small == "small");
}

TEST_CASE("arena: views outlive a move of it, and both can go on") {
  Arena arena;
  const auto kept = arena.copy("kept");
  Arena moved = std::move(arena);
  CHECK(kept == "kept");
  const auto of_moved = moved.copy("of the new one");
  const auto of_old = arena.copy("of the old one");  // NOLINT: it is empty again, by contract
  CHECK(kept == "kept");
  CHECK(of_moved == "of the new one");
  CHECK(of_old == "of the old one");
}

TEST_CASE("arena: no text costs no room") {
  Arena arena;
  char* at = arena.allocate(1);
  CHECK(arena.copy("").empty());
  CHECK(arena.allocate(1) == at + 1);
}
