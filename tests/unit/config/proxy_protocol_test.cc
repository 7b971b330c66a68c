#include <string>

#include <doctest/doctest.h>

#include "proxy/config/dump.h"
#include "tests/unit/config/loading.h"

namespace sluice::config {

TEST_CASE("proxy_protocol: of a listener") {
  const auto of = [](const std::string& text) {
    const auto loaded = load(with_listener("{ address: \":1\", " + text + " }"));
    CAPTURE(fault(loaded));
    REQUIRE(loaded.config);
    return loaded.config->listeners[0].proxy_protocol;
  };
  CHECK(of("backlog: 1") == ProxyProtocol::kOff);
  CHECK(of("proxy_protocol: off") == ProxyProtocol::kOff);
  CHECK(of("proxy_protocol: required") == ProxyProtocol::kRequired);
  CHECK(of("proxy_protocol: optional, trusted_proxies: [10.0.0.0/8]") == ProxyProtocol::kOptional);
  CHECK(fault(with_listener("{ address: \":1\", proxy_protocol: on }"))
            .find("\"on\" is not one of off, optional, required") != std::string::npos);
}

TEST_CASE("proxy_protocol: optional is said of somebody") {
  CHECK(fault(with_listener("{ address: \":1\", proxy_protocol: optional }"))
            .find("optional means a header from trusted_proxies, and there are none") !=
        std::string::npos);
}

TEST_CASE("proxy_protocol: of an upstream") {
  const auto of = [](const std::string& text) {
    const auto loaded = load(with_upstream("endpoints: [\"127.0.0.1:1\"], " + text));
    CAPTURE(fault(loaded));
    REQUIRE(loaded.config);
    return loaded.config->upstreams[0].proxy_protocol;
  };
  CHECK(of("protocol: http1") == ProxyVersion::kOff);
  CHECK(of("proxy_protocol: v1") == ProxyVersion::kV1);
  CHECK(of("protocol: uwsgi, proxy_protocol: v2") == ProxyVersion::kV2);
  CHECK(fault(with_upstream("endpoints: [\"127.0.0.1:1\"], proxy_protocol: v3"))
            .find("\"v3\" is not one of off, v1, v2") != std::string::npos);
}

TEST_CASE("proxy_protocol: is printed as it was read") {
  const auto loaded = load(
      "listeners: [ { address: \":1\", proxy_protocol: required },\n"
      "  { address: \":2\", proxy_protocol: optional, trusted_proxies: [10.0.0.0/8] } ]\n"
      "routes: [ { upstream: one }, { path: /two, upstream: two } ]\n"
      "upstreams: { one: { endpoints: \"127.0.0.1:1\", proxy_protocol: v1 },\n"
      "  two: { endpoints: \"127.0.0.1:2\", proxy_protocol: v2 } }\n");
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  const auto again = load(dump(*loaded.config));
  CAPTURE(fault(again));
  REQUIRE(again.config);
  CHECK(again.config->listeners == loaded.config->listeners);
  CHECK(again.config->upstreams == loaded.config->upstreams);
}

}  // namespace sluice::config
