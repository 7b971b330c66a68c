#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

using namespace std::chrono_literals;

// NUL would end the path somewhere else.
void read_path(MapReader& map, std::string_view name, std::string& into) {
  map.text(name, into);
  if (into.find('\0') != std::string::npos) map.fault(name, "holds a NUL");
}

void read_certificate(MapReader& map, Certificate& into) {
  into.place = place_of(map.node());
  read_path(map, "cert", into.cert);
  read_path(map, "key", into.key);
  read_path(map, "ocsp", into.ocsp);
  if (into.cert.empty()) map.fault("cert", "is missing; write the PEM file of the certificate");
  if (into.key.empty()) map.fault("key", "is missing; write the PEM file of the private key");
}

void read_client_certificate(MapReader& map, Tls& into) {
  read_path(map, "client_ca", into.client_ca);
  const int kind = map.choice("client_certificate", {"off", "optional", "required"});
  if (kind >= 0) into.client_certificate = static_cast<ClientCertificate>(kind);
  const bool asks = into.client_certificate != ClientCertificate::kOff;
  if (asks && into.client_ca.empty()) {
    map.fault("client_ca", "is missing; write the PEM file of those who may sign for clients");
  }
  if (!asks && !into.client_ca.empty()) {
    map.fault("client_ca", "asks nobody without client_certificate: optional, or required");
  }
}

}  // namespace

void read_tls(MapReader& map, Tls& into) {
  into.enabled = true;
  into.place = place_of(map.node());
  map.sections("certificates",
               [&into](MapReader& m) { read_certificate(m, into.certificates.emplace_back()); });
  map.flag("self_signed", into.self_signed);
  const int version = map.choice("min_version", {"1.2", "1.3"});
  if (version >= 0) into.min_version = static_cast<TlsVersion>(version);
  read_client_certificate(map, into);
  map.section("tickets", [&into](MapReader& m) {
    read_path(m, "keys", into.tickets.keys);
    m.duration("rotate", into.tickets.rotate, 1min);
  });
  if (into.self_signed != into.certificates.empty()) {
    map.fault("certificates", into.self_signed
                                  ? "exclude self_signed; name files, or let one be made"
                                  : "is missing; name files, [ { cert: a.pem, key: a.key } ], or "
                                    "write self_signed: true");
  }
}

}  // namespace sluice::config
