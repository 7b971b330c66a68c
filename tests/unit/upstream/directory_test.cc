#include "proxy/upstream/directory.h"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/upstream/fake_names.h"

using namespace sluice;
using namespace sluice::upstream;
using namespace std::chrono_literals;
using sluice::testing::address_of;
using sluice::testing::FakeNames;
using sluice::testing::Rounds;

namespace {

using Texts = std::vector<std::string>;

config::EndpointSource source_of(const std::string& text) {
  config::EndpointSource source;
  if (text.starts_with("dns://")) {
    source.kind = config::EndpointSource::Kind::kDns;
    source.name = text.substr(6);
    source.port = 80;
  } else {
    source.address = {text + ":80", false, text, 80};
  }
  return source;
}

Texts texts(const Definition& definition) {
  Texts out;
  for (const auto& endpoint : definition.endpoints) out.push_back(endpoint->name());
  return out;
}

struct Rig final : DirectoryEvents {
  // A configuration with this upstream comes into force, and the workers have it.
  std::vector<Definition> apply(const Texts& endpoints,
                                config::Protocol protocol = config::Protocol::kHttp1) {
    std::vector<Definition> made = {define(endpoints, protocol)};
    directory.adopt(made, {});
    rounds.settle();
    directory.on_installed(made);
    rounds.settle();
    return made;
  }
  Definition define(const Texts& endpoints, config::Protocol protocol = config::Protocol::kHttp1) {
    config::Upstream upstream;
    upstream.name = "app";
    upstream.protocol = protocol;
    for (const auto& text : endpoints) upstream.endpoints.push_back(source_of(text));
    return directory.define(upstream, faults);
  }
  void workers_hear() {
    for (const auto& done : std::exchange(waiting, {})) done();
    rounds.settle();
  }
  std::string state(const std::string& endpoint) const {
    const std::string text = metrics.render();
    const std::string line =
        "sluice_upstream_endpoint_state{upstream=\"app\",endpoint=\"" + endpoint + "\",state=\"";
    for (size_t at = text.find(line); at != std::string::npos; at = text.find(line, at + 1)) {
      const size_t begin = at + line.size();
      const size_t end = text.find('"', begin);
      if (text.compare(end + 2, 2, " 1") == 0) return text.substr(begin, end - begin);
    }
    return "";
  }

  void on_definition(const Definition& definition, std::function<void()> done) override {
    definitions.push_back(definition);
    waiting.push_back(std::move(done));
  }
  void on_endpoint_named(const std::shared_ptr<Endpoint>& endpoint,
                         const config::Upstream&) override {
    named.push_back(endpoint->name());
    lent.push_back(endpoint);
  }
  void on_endpoint_gone(const Endpoint& endpoint) override {
    gone.push_back(endpoint.name());
    std::erase_if(lent, [&endpoint](const auto& it) { return it.get() == &endpoint; });
  }
  void on_endpoint_state(const std::string& upstream, Endpoint& endpoint, EndpointState,
                         EndpointState to) override {
    news.emplace_back(upstream + " " + endpoint.name(), to);
  }

  Rounds rounds;
  FakeNames names;
  observe::Metrics metrics{{}};
  config::Faults faults;
  std::vector<Definition> definitions;
  std::vector<std::function<void()>> waiting;
  Texts named;
  Texts gone;
  std::vector<std::shared_ptr<Endpoint>> lent;
  std::vector<std::pair<std::string, EndpointState>> news;
  const std::unique_ptr<observe::ProcessLog> log =
      observe::ProcessLog::open({"/dev/null", observe::Severity::kError}).value();
  Directory directory{rounds.loop(), names, metrics, *log, *this};
};

}  // namespace

TEST_CASE("directory: what is defined has no effect until it is adopted") {
  Rig rig;
  const auto first = rig.apply({"10.0.0.1"});
  CHECK(rig.named == Texts{"10.0.0.1:80"});
  const auto refused = rig.define({"10.0.0.2"});
  rig.rounds.settle();
  CHECK(texts(refused) == Texts{"10.0.0.2:80"});
  CHECK(rig.named.size() == 1);
  CHECK(rig.definitions.empty());
  CHECK(first[0].endpoints[0]->state() == EndpointState::kStarting);
  CHECK(rig.directory.view()[0].endpoints.size() == 1);
}

TEST_CASE("directory: endpoints and turnstile stay who they are over a reload") {
  Rig rig;
  const auto first = rig.apply({"10.0.0.1", "10.0.0.2"});
  first[0].endpoints[1]->note(EndpointNews::kAnswered);
  const auto second = rig.apply({"10.0.0.2", "10.0.0.3"});
  CHECK(second[0].endpoints[0] == first[0].endpoints[1]);
  CHECK(second[0].endpoints[0]->state() == EndpointState::kReady);
  CHECK(second[0].turnstile == first[0].turnstile);
  CHECK(first[0].endpoints[0]->state() == EndpointState::kGone);
  CHECK(rig.gone == Texts{"10.0.0.1:80"});
  CHECK(rig.state("10.0.0.1:80").empty());
  CHECK(rig.state("10.0.0.2:80") == "ready");
}

TEST_CASE("directory: an upstream of another protocol begins anew, on the same turnstile") {
  Rig rig;
  const auto first = rig.apply({"10.0.0.1"});
  const auto second = rig.apply({"10.0.0.1"}, config::Protocol::kUwsgi);
  CHECK(second[0].endpoints[0] != first[0].endpoints[0]);
  CHECK(second[0].turnstile == first[0].turnstile);
  CHECK(first[0].endpoints[0]->state() == EndpointState::kGone);
  CHECK(rig.state("10.0.0.1:80") == "starting");  // the line in the metrics is the new one's
}

TEST_CASE("directory: an upstream that is dropped lives as long as somebody uses it") {
  Rig rig;
  auto first = rig.apply({"10.0.0.1"});
  auto used = first[0].endpoints[0];
  first.clear();
  rig.directory.adopt({}, {});
  rig.directory.on_installed({});
  rig.rounds.pass(5s);
  CHECK(used->state() == EndpointState::kStarting);
  CHECK(rig.gone.empty());
  used.reset();
  rig.rounds.pass(2s);
  CHECK(rig.gone == Texts{"10.0.0.1:80"});
}

TEST_CASE("directory: a name's addresses reach the workers without a reload") {
  Rig rig;
  const auto first = rig.apply({"dns://app"});
  CHECK(first[0].endpoints.empty());
  rig.rounds.pass(1ms);
  rig.names.answer("app", {"10.0.0.1", "10.0.0.2"}, 1s);
  rig.rounds.settle();
  REQUIRE(rig.definitions.size() == 1);
  CHECK(texts(rig.definitions[0]) == Texts{"10.0.0.1:80", "10.0.0.2:80"});
  rig.workers_hear();
  rig.rounds.pass(2s);
  rig.names.answer("app", {"10.0.0.2", "10.0.0.3"}, 1s);
  rig.rounds.settle();
  REQUIRE(rig.definitions.size() == 2);
  CHECK(texts(rig.definitions[1]) == Texts{"10.0.0.2:80", "10.0.0.3:80"});
  CHECK(rig.definitions[1].endpoints[0] == rig.definitions[0].endpoints[1]);
  const auto left = rig.definitions[0].endpoints[0];
  CHECK(left->state() == EndpointState::kDraining);
  CHECK(rig.gone.empty());
  rig.workers_hear();
  CHECK(left->state() == EndpointState::kGone);
  CHECK(rig.gone == Texts{"10.0.0.1:80"});
}

TEST_CASE("directory: who comes back before everybody has heard was never gone") {
  Rig rig;
  rig.apply({"dns://app"});
  rig.rounds.pass(1ms);
  rig.names.answer("app", {"10.0.0.1", "10.0.0.2"}, 1s);
  rig.rounds.settle();
  rig.workers_hear();
  rig.rounds.pass(2s);
  rig.names.answer("app", {"10.0.0.2"}, 1s);
  rig.rounds.settle();
  const auto endpoint = rig.definitions[0].endpoints[0];
  CHECK(endpoint->state() == EndpointState::kDraining);
  rig.rounds.pass(2s);
  rig.names.answer("app", {"10.0.0.1", "10.0.0.2"}, 1s);
  rig.rounds.settle();
  CHECK(rig.definitions.back().endpoints[0] == endpoint);
  CHECK(endpoint->state() == EndpointState::kStarting);
  rig.workers_hear();
  CHECK(endpoint->state() == EndpointState::kStarting);
  CHECK(rig.gone.empty());
}

TEST_CASE("directory: what names stand for survives a reload, and a failure of the name") {
  Rig rig;
  rig.apply({"dns://app"});
  rig.rounds.pass(1ms);
  rig.names.answer("app", {"10.0.0.1"}, 1s);
  rig.rounds.settle();
  const auto endpoint = rig.definitions[0].endpoints[0];
  rig.rounds.pass(2s);
  rig.names.fail("app", "there is no such name");
  const auto second = rig.apply({"dns://app", "10.0.0.9"});
  CHECK(texts(second[0]) == Texts{"10.0.0.1:80", "10.0.0.9:80"});
  CHECK(second[0].endpoints[0] == endpoint);
  CHECK(rig.directory.view()[0].names[0].trouble == "there is no such name");
  CHECK(rig.metrics.render().find("sluice_endpoint_names_failing 1") != std::string::npos);
}

TEST_CASE("directory: what was found while a configuration came into force is said again") {
  Rig rig;
  std::vector<Definition> made = {rig.define({"dns://app"})};
  rig.directory.adopt(made, {});
  rig.rounds.pass(1ms);
  rig.names.answer("app", {"10.0.0.1"}, 1s);
  rig.rounds.settle();
  REQUIRE(rig.definitions.size() == 1);
  rig.directory.on_installed(made);  // a worker may have got the empty set last
  rig.rounds.settle();
  REQUIRE(rig.definitions.size() == 2);
  CHECK(texts(rig.definitions[1]) == Texts{"10.0.0.1:80"});
}

TEST_CASE("directory: news of an endpoint wakes the workers, and is told on the control thread") {
  Rig rig;
  const auto first = rig.apply({"10.0.0.1"});
  int woken = 0;
  first[0].turnstile->join([&woken] { ++woken; });
  first[0].endpoints[0]->note(EndpointNews::kRefused);
  CHECK(woken == 1);
  CHECK(rig.news.empty());
  rig.rounds.settle();
  REQUIRE(rig.news.size() == 1);
  CHECK(rig.news[0] == std::pair(std::string("app 10.0.0.1:80"), EndpointState::kHolding));
  CHECK(rig.state("10.0.0.1:80") == "holding");
  first[0].endpoints[0]->note(EndpointNews::kRefused);  // nothing new
  rig.rounds.settle();
  CHECK(rig.news.size() == 1);
}

TEST_CASE("directory: live orders") {
  Rig rig;
  const auto first = rig.apply({"10.0.0.1"});
  const auto& one = first[0].endpoints[0];
  REQUIRE(rig.directory.add("app", address_of("10.0.0.2", 80), 3, 1));
  rig.rounds.settle();
  REQUIRE(rig.definitions.size() == 1);
  const auto two = rig.definitions[0].endpoints[1];
  CHECK(two->weight() == 3);
  CHECK(two->priority() == 1);

  REQUIRE(rig.directory.drain("app", "10.0.0.1:80"));
  CHECK(one->state() == EndpointState::kDraining);
  REQUIRE(rig.directory.undrain("app", "10.0.0.1:80"));
  CHECK(one->state() == EndpointState::kStarting);

  REQUIRE(rig.directory.set_weight("app", "10.0.0.1:80", 7));
  rig.rounds.settle();
  CHECK(one->weight() == 7);
  CHECK(rig.definitions.size() == 2);  // a ring has to be made again

  REQUIRE(rig.directory.remove("app", "10.0.0.2:80"));
  const auto last = rig.directory.remove("app", "10.0.0.1:80");
  REQUIRE(last);
  CHECK(last->find("requests are held for up to 20s") != std::string::npos);
  rig.rounds.settle();
  CHECK(rig.definitions.back().endpoints.empty());
  rig.workers_hear();
  CHECK(one->state() == EndpointState::kGone);
  REQUIRE(rig.directory.add("app", address_of("10.0.0.1", 80), 1, 0));
  rig.rounds.settle();
  REQUIRE(rig.definitions.back().endpoints.size() == 1);
  CHECK(rig.definitions.back().endpoints[0] != one);
}

TEST_CASE("directory: orders that make no sense say what would") {
  Rig rig;
  rig.apply({"10.0.0.1"});
  CHECK(rig.directory.drain("ap", "10.0.0.1:80").error().detail ==
        "there is no upstream \"ap\"; there is: app");
  CHECK(rig.directory.remove("app", "10.0.0.2:80").error().detail ==
        "upstream app has no endpoint 10.0.0.2:80; it has: 10.0.0.1:80");
  CHECK_FALSE(rig.directory.add("app", address_of("10.0.0.1", 80), 1, 0));
  CHECK_FALSE(rig.directory.undrain("app", "10.0.0.1:80"));
  rig.rounds.settle();
  CHECK(rig.definitions.empty());
}

TEST_CASE("directory: orders last until a configuration lists other endpoints") {
  Rig rig;
  rig.apply({"10.0.0.1"});
  REQUIRE(rig.directory.add("app", address_of("10.0.0.2", 80), 1, 0));
  REQUIRE(rig.directory.drain("app", "10.0.0.1:80"));
  rig.rounds.settle();
  const auto same = rig.apply({"10.0.0.1"});
  CHECK(texts(same[0]) == Texts{"10.0.0.1:80", "10.0.0.2:80"});
  CHECK(same[0].endpoints[0]->state() == EndpointState::kDraining);
  const auto other = rig.apply({"10.0.0.1", "10.0.0.3"});
  CHECK(texts(other[0]) == Texts{"10.0.0.1:80", "10.0.0.3:80"});
  CHECK(other[0].endpoints[0]->state() == EndpointState::kStarting);
  CHECK(same[0].endpoints[1]->state() == EndpointState::kGone);
}

TEST_CASE("directory: news that arrive after its end are dropped") {
  std::shared_ptr<Endpoint> endpoint;
  {
    Rig rig;
    endpoint = rig.apply({"10.0.0.1"})[0].endpoints[0];
    endpoint->note(EndpointNews::kRefused);  // on its way when the directory goes
  }
  CHECK(endpoint->state() == EndpointState::kHolding);
}
