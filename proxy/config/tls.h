// Tls: how a listener speaks TLS: with which certificates, to whom, and what it asks of clients.
// Plain values; part of Listener. Files are only named here: net/tls_certificate reads them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/config/values.h"

namespace sluice::config {

// PEM files. The certificate's own comes first in its file, then those that lead to the root.
struct Certificate {
  std::string cert;
  std::string key;
  std::string ocsp;  // DER, to be stapled; empty: none
  Place place;
  bool operator==(const Certificate&) const = default;
};

enum class TlsVersion : uint8_t { k12, k13 };
enum class ClientCertificate : uint8_t { kOff, kOptional, kRequired };

struct TlsTickets {
  std::string keys;  // a file of 48 or 80 byte keys; empty: our own, which rotate
  Duration rotate = std::chrono::hours(12);
  bool operator==(const TlsTickets&) const = default;
};

struct Tls {
  bool enabled = false;
  std::vector<Certificate> certificates;  // the first is for names that nobody has
  bool self_signed = false;
  TlsVersion min_version = TlsVersion::k12;
  std::string client_ca;  // PEM; whose certificates clients may show
  ClientCertificate client_certificate = ClientCertificate::kOff;
  TlsTickets tickets;
  Place place;
  bool operator==(const Tls&) const = default;
};

}  // namespace sluice::config
