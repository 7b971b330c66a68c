// Certificates made on the spot, and saved as files a configuration can name.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "proxy/config/tls.h"
#include "proxy/net/tls_handles.h"
#include "tests/unit/net/sockets.h"

namespace sluice::testing {

struct MadeCertificate {
  net::TlsHandle<X509> leaf;
  net::TlsHandle<EVP_PKEY> key;
};

struct Recipe {
  std::string subject = "test";
  std::string names;  // "DNS:a.example,DNS:*.b.example"; empty: none
  bool is_rsa = false;
  bool is_authority = false;
  long days = 30;
};

inline void extend(X509& certificate, int what, const std::string& value) {
  if (value.empty()) return;
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
  REQUIRE(extension != nullptr);
  X509_add_ext(&certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Signed by itself where there is no authority.
inline MadeCertificate make_certificate(const Recipe& recipe,
                                        const MadeCertificate* authority = nullptr) {
  static long serial = 1000;
  MadeCertificate made;
  made.key.reset(recipe.is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  made.leaf.reset(X509_new());
  X509& leaf = *made.leaf;
  X509_set_version(&leaf, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(&leaf), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(&leaf), -86400 * 60);
  X509_gmtime_adj(X509_getm_notAfter(&leaf), 86400 * recipe.days);
  X509_set_pubkey(&leaf, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(&leaf), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(recipe.subject.c_str()), -1, -1,
                             0);
  X509* const issuer = authority == nullptr ? &leaf : authority->leaf.get();
  X509_set_issuer_name(&leaf, X509_get_subject_name(issuer));
  extend(leaf, NID_subject_alt_name, recipe.names);
  if (recipe.is_authority) extend(leaf, NID_basic_constraints, "critical,CA:TRUE");
  EVP_PKEY* const signer = authority == nullptr ? made.key.get() : authority->key.get();
  REQUIRE(X509_sign(&leaf, signer, EVP_sha256()) > 0);
  return made;
}

inline void write_text(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  REQUIRE(file != nullptr);
  std::fwrite(text.data(), 1, text.size(), file);
  std::fclose(file);
}

inline void write_pem(const std::string& path, const MadeCertificate& made) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  REQUIRE(file != nullptr);
  PEM_write_X509(file, made.leaf.get());
  std::fclose(file);
}

inline void write_key(const std::string& path, const MadeCertificate& made,
                      const char* passphrase = nullptr) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  REQUIRE(file != nullptr);
  PEM_write_PrivateKey(file, made.key.get(), passphrase == nullptr ? nullptr : EVP_aes_128_cbc(),
                       nullptr, 0, nullptr, const_cast<char*>(passphrase));
  std::fclose(file);
}

// Files of a pair, as the configuration names them.
inline config::Certificate save(const Folder& folder, const std::string& name,
                                const MadeCertificate& made) {
  write_pem(folder / (name + ".pem"), made);
  write_key(folder / (name + ".key"), made);
  return {folder / (name + ".pem"), folder / (name + ".key"), "", {"t.yaml", 3}};
}

}  // namespace sluice::testing
