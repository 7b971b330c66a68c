// Who may be asked: states, ejection, panic, groups of priority, what was tried.
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/upstream/cluster_rig.h"

using namespace sluice;
using namespace sluice::testing;
using namespace std::chrono_literals;
using upstream::EndpointNews;
using upstream::Wish;

namespace {

struct ChoiceRig : ClusterRig {
  explicit ChoiceRig(size_t count) : ClusterRig(count) { start(); }
  // Of so many requests at the same time: which endpoints they went to ("" when one has to wait).
  std::string asked(const Wish& wish = {}, int requests = 6) {
    std::vector<Borrower> borrowers(static_cast<size_t>(requests));
    std::set<char> names;
    for (Borrower& borrower : borrowers) {
      borrower.acquire(*cluster, wish);
      settle();
      if (borrower.waits() && cluster->waiting() > 0) return "";
      REQUIRE(until([&borrower] { return borrower.lease.has_value(); }));
      for (size_t i = 0; i < definition.endpoints.size(); ++i) {
        if (borrower.lease->endpoint == &endpoint(i)) names.insert(static_cast<char>('0' + i));
      }
    }
    return {names.begin(), names.end()};
  }
  // What was done to each of them, as a letter: r)eady, s)uspect, e)jected, h)olding, d)raining.
  void put(std::string_view states) {
    for (size_t i = 0; i < states.size(); ++i) {
      upstream::Endpoint& its = endpoint(i);
      its.note(EndpointNews::kChecksWell);
      its.set_ejected(states[i] == 'e');
      if (states[i] == 's') its.note(EndpointNews::kBroken);
      if (states[i] == 'h') its.note(EndpointNews::kListensNot);
      if (states[i] == 'd') its.note(EndpointNews::kDrained);
    }
    settle();  // a suspect's first trial is a second away
  }
};

}  // namespace

TEST_CASE("choice: by state and ejection") {
  struct Case {
    std::string_view states;
    uint32_t panic;
    std::string_view asked;
  };
  const std::vector<Case> cases = {
      {"rrr", 50, "012"}, {"rsr", 50, "02"},  {"sss", 50, "012"},
      {"rhr", 50, "02"},  {"rdr", 50, "02"},  {"rer", 50, "02"},
      {"ees", 0, "2"},    {"eee", 0, "012"},  {"hhr", 50, "2"},
      {"hee", 50, "12"},  {"hhh", 50, ""},    {"ddd", 50, ""},
      {"dhs", 50, "2"},   {"ree", 50, "012"},  // a third is less than half: panic
      {"ree", 33, "0"},   {"reeh", 0, "0"},   {"rehh", 50, "01"},
      {"redd", 50, "0"},  // whoever is ordered out does not count
  };
  for (const Case& c : cases) {
    CAPTURE(c.states);
    CAPTURE(c.panic);
    ChoiceRig rig(c.states.size());
    rig.config().panic = c.panic;
    rig.cluster->reconfigure(rig.definition);
    rig.put(c.states);
    CHECK(rig.asked() == c.asked);
  }
}

TEST_CASE("choice: the group with the lowest number that has anybody is asked") {
  struct Case {
    std::string_view states;
    std::string_view asked;
  };
  // Two in the first group, then one each.
  const std::vector<Case> cases = {
      {"rrrr", "01"}, {"rhrr", "0"}, {"hsrr", "1"}, {"hhrr", "2"}, {"ehrr", "2"},
      {"hhhr", "3"},  {"ehhh", "0"}, {"hhee", "2"}, {"hhhh", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.states);
    ChoiceRig rig(4);
    rig.config().panic = 0;
    rig.cluster->reconfigure(rig.definition);
    rig.endpoint(2).set_priority(1);
    rig.endpoint(3).set_priority(2);
    rig.put(c.states);
    CHECK(rig.asked() == c.asked);
  }
}

TEST_CASE("choice: what is full is waited for; its backup is not asked") {
  ChoiceRig rig(2);
  rig.config().max_in_flight = 1;
  rig.cluster->reconfigure(rig.definition);
  rig.endpoint(1).set_priority(1);
  CHECK(rig.asked({}, 1) == "0");
  CHECK(rig.asked({}, 2).empty());
}

TEST_CASE("choice: what was tried is asked again when nobody else is there") {
  ChoiceRig rig(2);
  Wish wish;
  wish.tried = {&rig.endpoint(0)};
  CHECK(rig.asked(wish) == "1");
  rig.put("rh");
  CHECK(rig.asked(wish) == "0");
  wish.tried.push_back(&rig.endpoint(1));
  CHECK(rig.asked(wish) == "0");
  rig.put("hh");
  Borrower held;
  held.acquire(*rig.cluster, wish);
  CHECK(held.waits());
  rig.endpoint(0).note(EndpointNews::kListens);
  REQUIRE(rig.until([&held] { return held.lease.has_value(); }));
}

TEST_CASE("choice: a suspect is given a request now and then, and is cleared by its answer") {
  ChoiceRig rig(2);
  rig.put("rs");
  CHECK(rig.asked() == "0");
  rig.rounds.pass(1100ms);
  Wish unsafe;
  unsafe.unsafe = true;
  CHECK(rig.asked(unsafe) == "0");
  std::vector<Borrower> borrowers(4);
  int trials = 0;
  for (Borrower& borrower : borrowers) {
    rig.lease(borrower);
    if (borrower.lease->endpoint != &rig.endpoint(1)) continue;
    ++trials;
    rig.serve(borrower);
  }
  CHECK(trials >= 1);
  CHECK(rig.endpoint(1).state() == upstream::EndpointState::kReady);
}

TEST_CASE("choice: who sticks to an endpoint has it while it is usable") {
  ChoiceRig rig(3);
  Wish wish;
  wish.sticky = &rig.endpoint(1);
  CHECK(rig.asked(wish) == "1");
  rig.put("rhr");
  CHECK(rig.asked(wish) == "02");
}

TEST_CASE("choice: without any endpoint requests wait for the first") {
  ClusterRig rig(0);
  rig.start();
  Borrower early;
  early.acquire(*rig.cluster);
  CHECK(early.waits());
  rig.origins.push_back(std::make_unique<Origin>());
  rig.add_endpoint(rig.origins[0]->address());
  rig.cluster->reconfigure(rig.definition);
  REQUIRE(rig.until([&early] { return early.lease.has_value(); }));
  rig.serve(early);
  rig.definition.endpoints.clear();
  rig.config().hold.timeout = 0s;
  rig.cluster->reconfigure(rig.definition);
  Borrower late;
  late.acquire(*rig.cluster);
  REQUIRE(late.error);
  CHECK(late.error->code == ErrorCode::kUnreachable);
}
