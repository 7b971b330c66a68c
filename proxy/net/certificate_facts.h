// CertificateFacts: what a client's certificate says, as text that may stand in a header field:
// printable ASCII, bounded. Kept by the session for as long as the connection; values.
#pragma once

#include <cstddef>
#include <string>

namespace sluice::net {

struct CertificateFacts {
  static constexpr size_t kMostSubject = 512;
  static constexpr size_t kMostNames = 2048;
  std::string subject;      // RFC 2253: "CN=a,O=b"
  std::string names;        // "DNS:a.example,URI:spiffe://x,EMAIL:a@b,IP:192.0.2.1"; may be cut
  std::string fingerprint;  // SHA-256 of the certificate, 64 hex digits
};

}  // namespace sluice::net
