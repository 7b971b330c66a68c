// Endpoints: what is written, what becomes of it, and what is refused with the right form.
#include <string>

#include <doctest/doctest.h>

#include "proxy/config/endpoint_text.h"
#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

using Kind = EndpointSource::Kind;

std::string fault_of(std::string_view text) {
  const auto source = parse_endpoint(text);
  return source ? "" : source.error().detail;
}

std::vector<EndpointSource> endpoints(const std::string& text) {
  const auto loaded = load(with_upstream("endpoints: " + text));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  return loaded.config->upstreams[0].endpoints;
}

std::string fault_with(const std::string& text) {
  return fault(with_upstream("endpoints: " + text));
}

}  // namespace

TEST_CASE("endpoint: addresses and names, and back") {
  struct Case {
    const char* text;
    Kind kind;
    const char* name;
    uint16_t port;
    const char* again;
  };
  for (const Case& c :
       {Case{"127.0.0.1:8000", Kind::kAddress, "", 0, "127.0.0.1:8000"},
        Case{"localhost:8000", Kind::kAddress, "", 0, "localhost:8000"},
        Case{"unix:/run/a.sock", Kind::kAddress, "", 0, "unix:/run/a.sock"},
        Case{"dns://app:8000", Kind::kDns, "app", 8000, "dns://app:8000"},
        Case{"dns://App.Internal.:1", Kind::kDns, "app.internal.", 1, "dns://app.internal.:1"},
        Case{"dns://a-b.c4:65535", Kind::kDns, "a-b.c4", 65535, "dns://a-b.c4:65535"},
        Case{"srv://_HTTP._tcp.app.internal", Kind::kSrv, "_http._tcp.app.internal", 0,
             "srv://_http._tcp.app.internal"},
        Case{"srv://app.internal", Kind::kSrv, "app.internal", 0, "srv://app.internal"}}) {
    CAPTURE(std::string{c.text});
    const auto source = parse_endpoint(c.text);
    REQUIRE(source);
    CHECK(source->kind == c.kind);
    CHECK(source->name == c.name);
    CHECK(source->port == c.port);
    CHECK(source->weight == 1);
    CHECK(source->priority == 0);
    CHECK(format_endpoint(*source) == c.again);
    CHECK(parse_endpoint(c.again).value() == *source);
  }
}

TEST_CASE("endpoint: what is wrong comes with what would be right") {
  CHECK(fault_of("app:8000") ==
        "\"app:8000\" is a name; write dns://app:8000 to have it looked up");
  CHECK(fault_of("dns://10.0.0.1:80") ==
        "\"dns://10.0.0.1:80\" needs no looking up; write 10.0.0.1:80");
  CHECK(fault_of("dns://[::1]:80") == "\"dns://[::1]:80\" needs no looking up; write [::1]:80");
  CHECK(fault_of("dns://app") == "\"dns://app\" has no port; write dns://app:8000");
  CHECK(fault_of("dns://app:0") == "\"dns://app:0\": \"0\" is no port; 1 to 65535");
  CHECK(fault_of("srv://_http._tcp.a:80") ==
        "\"srv://_http._tcp.a:80\": SRV records bring their ports; write srv://_http._tcp.a");
  CHECK(fault_of("dns://a_b:80") ==
        "\"dns://a_b:80\": \"a_b\" is no name; between dots stand letters, digits and -");
}

TEST_CASE("endpoint: names that DNS cannot have") {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
  CHECK(parse_endpoint("dns://" + longest + ":80"));
  CHECK(parse_endpoint("dns://" + longest + ".:80"));
  CHECK(parse_endpoint("srv://" + label));
  for (const std::string& name :
       {std::string{}, std::string{"."}, std::string{".a"}, std::string{"a..b"}, std::string{"-a"},
        std::string{"a-"}, std::string{"a b"}, std::string{"a/b"}, std::string{"a.7"},
        std::string{"10.0.0.1.2"}, std::string{"\xc3\xa4"}, label + "a", longest + "a"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_endpoint("dns://" + name + ":80"));
    CHECK_FALSE(parse_endpoint("srv://" + name));
  }
  for (const std::string port : {"", "-1", "65536", "8o", "80/"}) {
    CAPTURE(port);
    CHECK_FALSE(parse_endpoint("dns://app:" + port));
  }
}

TEST_CASE("endpoints: in a list, each by itself or as a map") {
  const auto all = endpoints(
      "[ \"127.0.0.1:1\", { address: \"dns://app:2\", weight: 3 }, { address: \"127.0.0.1:3\","
      " backup: on }, { address: \"srv://a.b\", priority: 2 }, { address: \"unix:/a\","
      " backup: off } ]");
  REQUIRE(all.size() == 5);
  CHECK(all[0].address.text == "127.0.0.1:1");
  CHECK(all[1].kind == Kind::kDns);
  CHECK(all[1].weight == 3);
  CHECK(all[1].priority == 0);
  CHECK(all[2].weight == 1);
  CHECK(all[2].priority == 1);
  CHECK(all[3].kind == Kind::kSrv);
  CHECK(all[3].priority == 2);
  CHECK(all[4].priority == 0);
  const auto commas = endpoints("\"127.0.0.1:1, dns://app:2\"");
  REQUIRE(commas.size() == 2);
  CHECK(commas[1].name == "app");
}

TEST_CASE("endpoints: are needed") {
  CHECK(fault(with_upstream("protocol: uwsgi")).find("upstreams.app.endpoints: none given") !=
        std::string::npos);
  CHECK(fault_with("[]").find("none given") != std::string::npos);
  CHECK(fault_with("{ address: \"127.0.0.1:1\" }") ==
        "t.yaml:2: upstreams.app.endpoints: is a map, a list is wanted: [a, b]");
}

TEST_CASE("endpoints: each only once") {
  CHECK(fault_with("[\"127.0.0.1:1\", \"localhost:1\"]") ==
        "t.yaml:2: upstreams.app.endpoints[1]: localhost:1 is given twice");
  CHECK(fault_with("[\"dns://a:1\", { address: \"dns://A.:1\", weight: 2 }]") ==
        "t.yaml:2: upstreams.app.endpoints[1]: dns://a.:1 is given twice");
  CHECK(fault_with("[\"srv://a\", \"srv://A\"]").find("is given twice") != std::string::npos);
  CHECK(endpoints("[\"dns://a:1\", \"dns://a:2\", \"srv://a\", \"dns://b:1\"]").size() == 4);
}

TEST_CASE("endpoints: a map that is wrong says how") {
  const std::string at = "t.yaml:2: upstreams.app.endpoints[0]";
  CHECK(fault_with("[ { weight: 2 } ]") ==
        at + ": has no address; write { address: \"127.0.0.1:8000\", weight: 2 }");
  CHECK(fault_with("[ { address: \"127.0.0.1:1\", backup: on, priority: 2 } ]") ==
        at + ".backup: says the same as priority: 1; keep one of them");
  CHECK(fault_with("[ { address: \"srv://a\", weight: 2 } ]") ==
        at + ".weight: is brought by the SRV records; leave it out");
  CHECK(fault_with("[ { address: \"127.0.0.1:1\", wieght: 2 } ]") ==
        at + ".wieght: unknown key, did you mean \"weight\"?");
  CHECK(fault_with("[ { address: \"app:1\" } ]") ==
        at + ".address: \"app:1\" is a name; write dns://app:1 to have it looked up");
  CHECK(fault_with("[ [ \"127.0.0.1:1\" ] ]") ==
        at + ": is a list; an address, or a map { address: … } is wanted");
  for (const std::string wrong : {"weight: 0", "weight: 65536", "weight: -1", "priority: 65536",
                                  "priority: x", "backup: maybe"}) {
    CAPTURE(wrong);
    CHECK(fault_with("[ { address: \"127.0.0.1:1\", " + wrong + " } ]").find(at + ".") == 0);
  }
}

TEST_CASE("endpoints: have a ceiling") {
  std::string many;
  for (int i = 1; i <= 1001; ++i) many += "\"127.0.0.1:" + std::to_string(i) + "\", ";
  CHECK(fault_with("[ " + many + " ]") ==
        "t.yaml:2: upstreams.app.endpoints: are 1001; 1000 is the most");
}

}  // namespace sluice::config
