// TlsCertificate: a certificate with its chain and private key, read from PEM files and checked, or
// made by ourselves; and what a client's certificate says. Made by the control thread, const
// afterwards.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/node.h"
#include "proxy/config/tls.h"
#include "proxy/net/certificate_facts.h"
#include "proxy/net/tls_handles.h"

namespace sluice::net {

struct TlsCertificate {
  TlsHandle<X509> leaf;
  TlsHandle<STACK_OF(X509)> chain;  // without the leaf
  TlsHandle<EVP_PKEY> key;
  std::vector<std::string> names;  // DNS names in lower case, or else the common name
  WallTime expires{};
  std::string staple;  // an OCSP answer, DER; empty: none
  WallTime staple_until{};

  // RSA or EC: of each kind a context can have one.
  int kind() const { return EVP_PKEY_get_base_id(key.get()); }
  std::string_view label() const { return names.empty() ? "unnamed" : std::string_view(names[0]); }
};

// What is wrong goes to `faults`, below `key` ("listeners[0].tls.certificates[1]"), and nullopt is
// returned. Not yet valid or expired is no fault: whether that matters is for clients to say.
std::optional<TlsCertificate> read_certificate(const config::Certificate& files,
                                               const std::string& key, config::Faults& faults);

// ECDSA P-256, for clients that do not ask who we are (an ALB). In a millisecond.
Result<TlsCertificate> make_self_signed();

// A whole file; the error says why not, as in `file not found "a.pem"`.
Result<std::string> read_file(const std::string& path);
// All certificates of a PEM text; null when there is none, or one is malformed.
TlsHandle<STACK_OF(X509)> parse_certificates(std::string_view pem);

// Of a client.
CertificateFacts facts_of(X509& certificate);

}  // namespace sluice::net
