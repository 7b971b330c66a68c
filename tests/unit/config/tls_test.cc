// What a listener's `tls` may say.
#include <string>

#include <doctest/doctest.h>

#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

std::string with_tls(const std::string& tls) {
  return with_listener("{ address: \":1\", tls: " + tls + " }");
}

}  // namespace

TEST_CASE("tls: values reach the structure") {
  const auto loaded = load(
      with_tls("{ certificates: [ { cert: a.pem, key: a.key, ocsp: a.der }, { cert: b, key: c } ],"
               " min_version: 1.3, client_ca: ca.pem, client_certificate: required,"
               " tickets: { keys: t, rotate: 1h } }"));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  const Tls& tls = loaded.config->listeners[0].tls;
  CHECK(tls.enabled);
  REQUIRE(tls.certificates.size() == 2);
  CHECK(tls.certificates[0].cert == "a.pem");
  CHECK(tls.certificates[0].key == "a.key");
  CHECK(tls.certificates[0].ocsp == "a.der");
  CHECK(tls.certificates[0].place.line == 2);
  CHECK(tls.certificates[1].cert == "b");
  CHECK_FALSE(tls.self_signed);
  CHECK(tls.min_version == TlsVersion::k13);
  CHECK(tls.client_ca == "ca.pem");
  CHECK(tls.client_certificate == ClientCertificate::kRequired);
  CHECK(tls.tickets.keys == "t");
  CHECK(tls.tickets.rotate == std::chrono::hours(1));
}

TEST_CASE("tls: off, absent, and made by ourselves") {
  CHECK_FALSE(load(with_listener("{ address: \":1\" }")).config->listeners[0].tls.enabled);
  CHECK_FALSE(load(with_tls("off")).config->listeners[0].tls.enabled);
  const auto made = load(with_tls("{ self_signed: true }"));
  REQUIRE(made.config);
  CHECK(made.config->listeners[0].tls.enabled);
  CHECK(made.config->listeners[0].tls.self_signed);
  const auto limited = load(
      with_listener("{ address: \":1\", limits: { handshakes: 7 }, timeouts: { handshake: 2s } }"));
  REQUIRE(limited.config);
  CHECK(limited.config->listeners[0].limits.handshakes == 7);
  CHECK(limited.config->listeners[0].timeouts.handshake == std::chrono::seconds(2));
}

TEST_CASE("tls: faults say what would be right") {
  CHECK(fault(with_tls("on")) ==
        "t.yaml:2: listeners[0].tls: \"on\" is neither off nor a map { certificates: [ { cert: "
        "a.pem, key: a.key } ] }");
  CHECK(fault(with_tls("{ min_version: 1.2 }")).find("tls.certificates: is missing") !=
        std::string::npos);
  CHECK(fault(with_tls("{ certificates: [ { cert: a } ] }")).find("certificates[0].key: is miss") !=
        std::string::npos);
  CHECK(fault(with_tls("{ self_signed: on, certificates: [ { cert: a, key: b } ] }"))
            .find("exclude self_signed") != std::string::npos);
  CHECK(fault(with_tls("{ self_signed: on, min_version: 1.1 }")).find("min_version") !=
        std::string::npos);
  CHECK(fault(with_tls("{ self_signed: on, client_certificate: optional }"))
            .find("tls.client_ca: is missing") != std::string::npos);
  CHECK(fault(with_tls("{ self_signed: on, tickets: { rotate: 1s } }")).find("rotate") !=
        std::string::npos);
}

}  // namespace sluice::config
