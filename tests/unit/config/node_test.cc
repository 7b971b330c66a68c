#include "proxy/config/node.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

std::optional<Node> parse(const std::string& text, Faults& faults) {
  size_t budget = 1 << 20;
  return parse_yaml(text, "t.yaml", budget, faults);
}

}  // namespace

TEST_CASE("node: kinds, order, lines and keys") {
  Faults faults;
  const auto root = parse("a: 1\nb:\n  - x\n  - { c: \"~\" }\nd: ~\ne:\n", faults);
  REQUIRE(root);
  CHECK(faults.empty());
  REQUIRE(root->entries.size() == 4);
  CHECK(root->find("a")->scalar == "1");
  const Node* b = root->find("b");
  REQUIRE(b->is_list());
  CHECK(b->line == 2);
  CHECK(b->items[0].key == "b[0]");
  CHECK(b->items[0].line == 3);
  CHECK(b->items[1].find("c")->key == "b[1].c");
  CHECK(b->items[1].find("c")->scalar == "~");
  CHECK(root->find("d")->is_null());
  CHECK(root->find("e")->is_null());
  CHECK(root->find("e")->line == 6);
  CHECK(root->find("f") == nullptr);
}

TEST_CASE("node: an empty text is nothing") {
  for (const char* text : {"", "\n\n", "# only a comment\n"}) {
    Faults faults;
    const auto root = parse(text, faults);
    REQUIRE(root);
    CHECK(root->is_null());
    CHECK(faults.empty());
  }
}

TEST_CASE("node: a key given twice is a fault with both lines") {
  Faults faults;
  const auto root = parse("a: 1\nb: { c: 1,\n  c: 2 }\na: 3\n", faults);
  REQUIRE(root);
  REQUIRE(faults.lines().size() == 2);
  CHECK(faults.lines()[0] == "t.yaml:3: b.c: given twice, first in line 2; keep one of them");
  CHECK(faults.lines()[1] == "t.yaml:4: a: given twice, first in line 1; keep one of them");
  CHECK(root->find("a")->scalar == "1");
}

TEST_CASE("node: broken YAML is one fault with its line") {
  for (const std::string text :
       {"a: [1, 2\n", "a: {b: 1\n", "a: b: c\n", "\"x", "? [1]\n: 2\n", "a: *x\n",
        "a: \"\\0\"\n", "%YAML\n---\na: 1\n", "a:\n\tb: 1\n"}) {
    CAPTURE(text);
    Faults faults;
    CHECK_FALSE(parse(text, faults));
    REQUIRE(faults.lines().size() == 1);
    CHECK(faults.lines()[0].find("t.yaml:") == 0);
    CHECK(faults.lines()[0].find("not valid YAML: ") != std::string::npos);
  }
}

TEST_CASE("node: brackets without quotes are explained") {
  CHECK(fault(with_listener("address: [::]:8080")).find("brackets need quotes") !=
        std::string::npos);
}

TEST_CASE("node: several documents are a fault") {
  for (const std::string text : {"a: 1\n---\nb: 1\n", "- a\nb: 1\n"}) {
    Faults faults;
    parse(text, faults);
    REQUIRE(faults.lines().size() == 1);
    CHECK(faults.lines()[0].find("second document") != std::string::npos);
  }
}

TEST_CASE("node: aliases copy, but not beyond the budget, and never into themselves") {
  Faults faults;
  const auto root = parse("a: &x { k: [1, 2] }\nb: *x\n", faults);
  REQUIRE(root);
  CHECK(*root->find("a") == *root->find("b"));
  CHECK(root->find("b")->find("k")->items[1].key == "b.k[1]");

  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const auto name = std::to_string(i);
    bomb += "a" + name + ": &a" + name + " [";
    for (int j = 0; j < 10; ++j) bomb += "*a" + std::to_string(i - 1) + (j == 9 ? "]\n" : ", ");
  }
  Faults bombed;
  CHECK_FALSE(parse(bomb, bombed));
  REQUIRE(bombed.lines().size() == 1);
  CHECK(bombed.lines()[0].find("too large") != std::string::npos);

  Faults loop;
  CHECK_FALSE(parse("a: &x [1, *x]\n", loop));
  CHECK(loop.lines().size() == 1);
}

TEST_CASE("node: depth is bounded, for the parser and for aliases") {
  Faults faults;
  CHECK(parse(std::string(60, '[') + std::string(60, ']'), faults));
  CHECK(faults.empty());
  CHECK_FALSE(parse(std::string(70, '[') + std::string(70, ']'), faults));
  CHECK(faults.lines().size() == 1);
  Faults more;
  CHECK_FALSE(parse(std::string(100000, '['), more));
  std::string tower = "a: &a " + std::string(40, '[') + std::string(40, ']') + "\nb: ";
  tower += std::string(40, '[') + "*a" + std::string(40, ']');
  CHECK_FALSE(parse(tower, more));
  CHECK(more.lines().size() == 2);
}

TEST_CASE("faults: sorted by file and line, and not without end") {
  Faults faults;
  faults.add("b.yaml", 1, "", "third");
  faults.add("a.yaml", 9, "k", "second");
  faults.add("a.yaml", 2, "k", "first");
  faults.sort();
  CHECK(faults.lines() == std::vector<std::string>{"a.yaml:2: k: first", "a.yaml:9: k: second",
                                                   "b.yaml:1: third"});
  for (int i = 0; i < 1000; ++i) faults.add("a.yaml", 1, "", "again");
  faults.sort();
  CHECK(faults.lines().size() == 201);
  CHECK(faults.lines().back() == "more faults follow; these first");
}

TEST_CASE("suggest: a slip finds its word, a stranger gets the list") {
  CHECK(suggest("adress", {"address", "backlog"}) == ", did you mean \"address\"?");
  CHECK(suggest("Address", {"address", "backlog"}) == ", did you mean \"address\"?");
  CHECK(suggest("time_out", {"timeouts", "limits"}) == ", did you mean \"timeouts\"?");
  CHECK(suggest("zzz", {"b", "a"}) == "; known here: a, b");
  CHECK(suggest(std::string(100000, 'x'), {"a"}) == "; known here: a");
}

TEST_CASE("map reader: getters leave alone what is absent, and tell what is wrong") {
  Faults faults;
  const auto root = parse("n: 5\nbad: x\nlist: [a, b]\none: a\ndeep: [[a]]\nempty:\n", faults);
  REQUIRE(root);
  MapReader map{*root, faults};
  uint32_t n = 1;
  map.number("n", n, 1, 10);
  CHECK(n == 5);
  uint32_t absent = 7;
  map.number("absent", absent, 1, 10);
  CHECK(absent == 7);
  CHECK(faults.empty());
  map.number("n", n, 6, 10);
  map.number("bad", n, 1, 10, "off");
  map.text("list", *std::make_unique<std::string>());
  map.text("empty", *std::make_unique<std::string>());
  std::vector<std::string> texts;
  map.texts("list", texts);
  CHECK(texts == std::vector<std::string>{"a", "b"});
  map.texts("one", texts);
  CHECK(texts == std::vector<std::string>{"a"});
  map.texts("deep", texts);
  map.finish();
  CHECK(n == 5);
  REQUIRE(faults.lines().size() == 5);
  CHECK(faults.lines()[0] == "t.yaml:1: n: \"5\" is not a whole number from 6 to 10");
  CHECK(faults.lines()[1] == "t.yaml:2: bad: \"x\" is not a whole number from 1 to 10, or off");
  CHECK(faults.lines()[2] == "t.yaml:3: list: is a list, a single value is wanted");
  CHECK(faults.lines()[3].find("t.yaml:6: empty: has no value") == 0);
  CHECK(faults.lines()[4] == "t.yaml:5: deep[0]: is a list, a single value is wanted");
}

}  // namespace sluice::config
