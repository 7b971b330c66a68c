#include "proxy/config/flags.h"

#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {

TEST_CASE("flags: the form without a file is a configuration like any other") {
  Flags flags;
  flags.listen = {":8080"};
  flags.upstream = "uwsgi://127.0.0.1:8000";
  flags.statics = {"/static/=/vol/static", "/media/=/vol/a=b"};
  const auto loaded = from_flags(flags, options());
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  const auto same = load(
      "listeners: [ { address: :8080 } ]\n"
      "routes:\n"
      "  - { path: /healthz, respond: { health: ready } }\n"
      "  - { path: /static/, static: { root: /vol/static } }\n"
      "  - { path: /media/, static: { root: \"/vol/a=b\" } }\n"
      "  - { path: /, upstream: app }\n"
      "upstreams: { app: { protocol: uwsgi, endpoints: [ \"127.0.0.1:8000\" ] } }\n");
  CAPTURE(fault(same));
  REQUIRE(same.config);
  Config wanted = *same.config;
  wanted.hash = loaded.config->hash;
  CHECK(*loaded.config == wanted);
  CHECK(loaded.notes.empty());
}

TEST_CASE("flags: the forms of an upstream") {
  struct Case {
    const char* url;
    Protocol protocol;
    const char* host_or_path;
  };
  for (const Case& c :
       {Case{"http://127.0.0.1:8000", Protocol::kHttp1, "127.0.0.1"},
        Case{"http://localhost:8000/", Protocol::kHttp1, "127.0.0.1"},
        Case{"uwsgi://[::1]:8000", Protocol::kUwsgi, "::1"},
        Case{"uwsgi+unix:/run/app.sock", Protocol::kUwsgi, "/run/app.sock"},
        Case{"fastcgi://127.0.0.1:9000", Protocol::kFastcgi, "127.0.0.1"},
        Case{"fastcgi+unix:/run/php.sock", Protocol::kFastcgi, "/run/php.sock"},
        Case{"http+unix:/run/app.sock", Protocol::kHttp1, "/run/app.sock"}}) {
    CAPTURE(std::string{c.url});
    const auto loaded = from_flags({{":0"}, c.url, {}, {}, {}}, options());
    REQUIRE(loaded.config);
    REQUIRE(loaded.config->upstreams.size() == 1);
    CHECK(loaded.config->upstreams[0].protocol == c.protocol);
    CHECK(loaded.config->upstreams[0].endpoints[0].address.host_or_path == c.host_or_path);
  }
}

TEST_CASE("flags: a name is looked up") {
  for (const std::string scheme : {"http", "uwsgi"}) {
    CAPTURE(scheme);
    const auto loaded = from_flags({{":0"}, scheme + "://App.internal:8000/", {}, {}, {}},
                                   options());
    CAPTURE(fault(loaded));
    REQUIRE(loaded.config);
    const EndpointSource& source = loaded.config->upstreams[0].endpoints.at(0);
    CHECK(source.kind == EndpointSource::Kind::kDns);
    CHECK(source.name == "app.internal");
    CHECK(source.port == 8000);
  }
  CHECK(fault(from_flags({{":0"}, "http://app", {}, {}, {}}, options()))
            .find("\"app\" has no port; write app:8000") != std::string::npos);
}

TEST_CASE("flags: faults name the flag") {
  CHECK(fault(from_flags({{":0"}, "127.0.0.1:8000", {}, {}, {}}, options())) ==
        "--upstream: \"127.0.0.1:8000\" has no scheme that is known; write uwsgi://127.0.0.1:8000, "
        "http://127.0.0.1:8000, uwsgi+unix:/run/app.sock or http+unix:/run/app.sock");
  CHECK(fault(from_flags({{":0"}, "https://127.0.0.1:8000", {}, {}, {}}, options()))
            .find("not supported in this version") != std::string::npos);
  CHECK(fault(from_flags({{"8080"}, "http://127.0.0.1:1", {}, {}, {}}, options())) ==
        "--listen: listeners[0].address: \"8080\" is only a port; write :8080 or 127.0.0.1:8080");
  CHECK(fault(from_flags({{":0"}, "http://127.0.0.1:1", {"/static/"}, {}, {}}, options())) ==
        "--static: \"/static/\" has no =; write /static/=/vol/static");
  CHECK(fault(from_flags({{":0"}, "http://127.0.0.1:1", {"static=/vol"}, {}, {}}, options())) ==
        "--static: routes[1].path: \"static\" does not begin with /");
  CHECK(fault(from_flags({{}, "http://127.0.0.1:1", {}, {}, {}}, options()))
            .find("command line: listeners: there is none") == 0);
  CHECK(fault(from_flags({{":0"}, "http://127.0.0.1:1", {}, "x", {}}, options()))
            .find("--metrics: metrics.address: ") == 0);
}

TEST_CASE("flags: metrics and admin can be moved or left out") {
  const auto loaded = from_flags({{":0"}, "http://127.0.0.1:1", {}, "off", "/a.sock"}, options());
  REQUIRE(loaded.config);
  CHECK_FALSE(loaded.config->metrics.address);
  CHECK(loaded.config->admin.socket == "/a.sock");
}

}  // namespace sluice::config
