#include "proxy/config/check.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

std::string two_listeners(const std::string& first, const std::string& second) {
  return fault(with_listener("address: \"" + first + "\"\n  - address: \"" + second + "\""));
}

}  // namespace

TEST_CASE("check: two listeners on one address") {
  CHECK(two_listeners("0.0.0.0:8080", "0.0.0.0:8080") ==
        "t.yaml:3: listeners[1].address: 0.0.0.0:8080 is taken by listeners[0] (0.0.0.0:8080)");
  CHECK(two_listeners(":8080", "127.0.0.1:8080").find("is taken by") != std::string::npos);
  CHECK(two_listeners("[::1]:8080", "[0:0::1]:8080").find("is taken by") != std::string::npos);
  CHECK(two_listeners("unix:/a", "unix:/a").find("is taken by") != std::string::npos);
  for (const auto& pair : {std::pair{":0", ":0"}, std::pair{":1", ":2"},
                                      std::pair{"unix:/a", "unix:/b"}, std::pair{":1", "[::]:1"},
                                      std::pair{"127.0.0.1:1", "127.0.0.2:1"}}) {
    CAPTURE(std::string{pair.first});
    CHECK(two_listeners(pair.first, pair.second) == "(0 faults)");
  }
}

TEST_CASE("check: a listener on the address of metrics or admin") {
  CHECK(fault(with_listener("address: 127.0.0.1:9901")).find("is taken by metrics.address") !=
        std::string::npos);
  CHECK(fault(with_listener("address: unix:/run/sluice/admin.sock")).find("is admin.socket") !=
        std::string::npos);
}

TEST_CASE("check: a route that another hides") {
  CHECK(fault(with_route("{ path: /a, upstream: app }\n  - { path: /a, redirect: /b }")) ==
        "t.yaml:3: routes[1]: matches the same requests as routes[0] (t.yaml:2) and would never be "
        "used");
  CHECK(fault(with_route("{ path: /a, methods: [GET, PUT], upstream: app }\n"
                         "  - { path: /a, methods: [PUT, GET], upstream: app }"))
            .find("would never be used") != std::string::npos);
  CHECK(fault(with_route("{ path: /a, upstream: app }\n  - { exact: /a, redirect: /b }\n"
                         "  - { path: /a/, redirect: /b }\n"
                         "  - { path: /a, host: h, redirect: /b }\n"
                         "  - { path: /a, methods: GET, redirect: /b }\n"
                         "  - { path: /a, headers: [A], redirect: /b }\n"
                         "  - { path: /a, headers: { A: b }, redirect: /b }")) == "(0 faults)");
}

TEST_CASE("check: two routes of one name") {
  CHECK(fault(with_route("{ path: /a, name: n, upstream: app }\n"
                         "  - { path: /b, name: n, upstream: app }")) ==
        "t.yaml:3: routes[1].name: \"n\" is already the name of routes[0]");
}

TEST_CASE("check: drain's times are in order") {
  CHECK(fault(with_top("drain:\n  min: 21s")) ==
        "t.yaml:2: drain.min: 21s is longer than drain.max (20s)");
  CHECK(fault(with_top("drain: { quiet: 21s }")).find("drain.quiet: 21s") != std::string::npos);
  CHECK(fault(with_top("drain: { deadline: 10s }")) ==
        "t.yaml:1: drain.max: 20s is longer than drain.deadline (10s)");
  CHECK(load(with_top("drain: { min: 0s, quiet: 0s, max: 0s, deadline: 0s }")).config);
}

TEST_CASE("check: notes do not stop a load") {
  const auto slow = load(with_top("drain: { deadline: 30s }"));
  CHECK(slow.config);
  REQUIRE(slow.notes.size() == 1);
  CHECK(slow.notes[0].find("t.yaml:1: drain.deadline: 30s is not below") == 0);

  const auto hasty = load(with_route("{ path: /, upstream: app, timeouts: { request: 5s } }"));
  CHECK(hasty.config);
  REQUIRE(hasty.notes.size() == 1);
  CHECK(hasty.notes[0].find("t.yaml:2: routes[0].timeouts.request: 5s ends a request before") == 0);

  const auto idle = load(with_route("{ path: /, redirect: /a }"));
  CHECK(idle.config);
  REQUIRE(idle.notes.size() == 1);
  CHECK(idle.notes[0].find("upstreams.app: no route leads to it") != std::string::npos);

  CHECK(load(with_top("")).notes.empty());
}

}  // namespace sluice::config
