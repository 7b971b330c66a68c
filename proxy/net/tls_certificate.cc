#include "proxy/net/tls_certificate.h"

#include <arpa/inet.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "proxy/base/text.h"

namespace sluice::net {
namespace {

constexpr size_t kMostFile = 1 << 20;
constexpr std::chrono::hours kSelfSignedLife{24 * 3650};

TlsHandle<BIO> memory_of(std::string_view text) {
  return TlsHandle<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// No terminal is asked for a passphrase.
int no_passphrase(char*, int, int, void*) noexcept {
  return -1;
}

WallTime time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return WallTime::max();
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string_view text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

// Calls with each name of the certificate.
template <typename Visit>
void each_name(X509& certificate, Visit visit) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) visit(*sk_GENERAL_NAME_value(names, i));
  GENERAL_NAMES_free(names);
}

std::string common_name(X509& certificate) {
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  return std::string(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
}

std::vector<std::string> dns_names(X509& certificate) {
  std::vector<std::string> names;
  each_name(certificate, [&names](const GENERAL_NAME& name) {
    if (name.type == GEN_DNS) names.push_back(to_lower(text_of(name.d.dNSName)));
  });
  if (names.empty()) names.push_back(to_lower(common_name(certificate)));
  std::erase(names, std::string{});
  return names;
}

// The answer about this certificate, and until when it holds.
Result<WallTime> check_staple(const std::string& der, X509& certificate) {
  const auto wrong = [](const char* what) { return fail(ErrorCode::kInvalid, Side::kUs, what); };
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<OCSP_RESPONSE, decltype(&OCSP_RESPONSE_free)> response(
      d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())), OCSP_RESPONSE_free);
  if (response == nullptr) return wrong("is no OCSP answer in DER");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return wrong("is an OCSP answer that says it failed");
  }
  const std::unique_ptr<OCSP_BASICRESP, decltype(&OCSP_BASICRESP_free)> basic(
      OCSP_response_get1_basic(response.get()), OCSP_BASICRESP_free);
  for (int i = 0; basic != nullptr && i < OCSP_resp_count(basic.get()); ++i) {
    OCSP_SINGLERESP* one = OCSP_resp_get0(basic.get(), i);
    ASN1_INTEGER* serial = nullptr;
    auto* id = const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(one));
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, id);
    if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(&certificate)) != 0) continue;
    ASN1_GENERALIZEDTIME* until = nullptr;
    OCSP_single_get0_status(one, nullptr, nullptr, nullptr, &until);
    return time_of(until);
  }
  return wrong("is an OCSP answer about another certificate");
}

// Where one certificate's faults go.
struct Spot {
  const config::Place& place;
  const std::string& key;
  config::Faults& faults;
  void add(const char* which, const std::string& what) const {
    faults.add(place.file, place.line, key + "." + which, what);
  }
};

bool read_chain(const std::string& path, const Spot& spot, TlsCertificate& into) {
  const auto text = read_file(path);
  if (!text) return spot.add("cert", text.error().detail), false;
  into.chain = parse_certificates(*text);
  if (into.chain == nullptr) {
    return spot.add("cert", "no certificate in PEM in \"" + path + "\""), false;
  }
  into.leaf.reset(sk_X509_shift(into.chain.get()));
  into.names = dns_names(*into.leaf);
  into.expires = time_of(X509_get0_notAfter(into.leaf.get()));
  return true;
}

bool read_key(const std::string& path, const Spot& spot, TlsCertificate& into) {
  auto text = read_file(path);
  if (!text) return spot.add("key", text.error().detail), false;
  const auto memory = memory_of(*text);
  into.key.reset(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr));
  const bool is_locked = text->find("ENCRYPTED") != std::string::npos;
  OPENSSL_cleanse(text->data(), text->size());
  ERR_clear_error();
  if (into.key != nullptr) return true;
  return spot.add("key", is_locked ? "\"" + path + "\" is encrypted; give it without a passphrase"
                                   : "no private key in PEM in \"" + path + "\""),
         false;
}

bool read_staple(const std::string& path, const Spot& spot, TlsCertificate& into) {
  if (path.empty()) return true;
  auto der = read_file(path);
  if (!der) return spot.add("ocsp", der.error().detail), false;
  const auto until = check_staple(*der, *into.leaf);
  ERR_clear_error();
  if (!until) return spot.add("ocsp", "\"" + path + "\" " + until.error().detail), false;
  into.staple = std::move(*der);
  into.staple_until = *until;
  return true;
}

// RFC 9110 §5.5 wants no controls, the list no commas of others; '%' tells what was changed.
void append_printable(std::string& to, std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != ',' && c != '%') {
      to += c;
    } else {
      to += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
}

std::string name_text(const GENERAL_NAME& name) {
  std::string text;
  const auto with = [&text](const char* kind, const ASN1_STRING* value) {
    text = kind;
    append_printable(text, text_of(value));
  };
  switch (name.type) {
    case GEN_DNS: with("DNS:", name.d.dNSName); break;
    case GEN_URI: with("URI:", name.d.uniformResourceIdentifier); break;
    case GEN_EMAIL: with("EMAIL:", name.d.rfc822Name); break;
    case GEN_IPADD: {
      const auto bytes = text_of(name.d.iPAddress);
      char ip[INET6_ADDRSTRLEN] = {};
      const int family = bytes.size() == 4 ? AF_INET : bytes.size() == 16 ? AF_INET6 : -1;
      if (family >= 0) ::inet_ntop(family, bytes.data(), ip, sizeof ip);
      if (ip[0] != '\0') text = std::string("IP:") + ip;
      break;
    }
    default: break;  // names of machines, not of people or services, are not asked for
  }
  return text;
}

bool fill_self_signed(X509& certificate, EVP_PKEY& key) {
  uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) != 1) return false;
  const auto life = std::chrono::duration_cast<std::chrono::seconds>(kSelfSignedLife).count();
  X509_set_version(&certificate, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(&certificate), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(&certificate), -3600);  // clocks differ
  X509_gmtime_adj(X509_getm_notAfter(&certificate), static_cast<long>(life));
  X509_set_pubkey(&certificate, &key);
  X509_NAME* name = X509_get_subject_name(&certificate);
  const auto* text = reinterpret_cast<const unsigned char*>("sluice");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
  X509_set_issuer_name(&certificate, name);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:sluice,DNS:localhost");
  const bool named = names != nullptr && X509_add_ext(&certificate, names, -1) == 1;
  X509_EXTENSION_free(names);
  return named && X509_sign(&certificate, &key, EVP_sha256()) > 0;
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "rbe"),
                                                                std::fclose);
  const auto cannot = [&path](const std::string& why) {
    return fail(ErrorCode::kInvalid, Side::kUs, "cannot read \"" + path + "\": " + why);
  };
  if (file == nullptr && errno == ENOENT) {
    return fail(ErrorCode::kNotFound, Side::kUs, "file not found \"" + path + "\"");
  }
  if (file == nullptr) return cannot(std::strerror(errno));
  std::string text(kMostFile + 1, '\0');
  errno = 0;
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return cannot(std::strerror(errno));
  if (text.size() > kMostFile) return cannot("larger than 1 MiB");
  return text;
}

TlsHandle<STACK_OF(X509)> parse_certificates(std::string_view pem) {
  TlsHandle<STACK_OF(X509)> all(sk_X509_new_null());
  const auto memory = memory_of(pem);
  while (X509* one = PEM_read_bio_X509(memory.get(), nullptr, no_passphrase, nullptr)) {
    sk_X509_push(all.get(), one);
  }
  // The text's end is told as an error, too; anything else is one.
  const bool is_whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!is_whole || sk_X509_num(all.get()) == 0) all.reset();
  return all;
}

std::optional<TlsCertificate> read_certificate(const config::Certificate& files,
                                               const std::string& key, config::Faults& faults) {
  const Spot spot{files.place, key, faults};
  TlsCertificate read;
  const bool has_chain = read_chain(files.cert, spot, read);
  const bool has_key = read_key(files.key, spot, read);
  if (!has_chain || !has_key) return std::nullopt;
  if (X509_check_private_key(read.leaf.get(), read.key.get()) != 1) {
    ERR_clear_error();
    spot.add("key",
             "\"" + files.key + "\" does not match the certificate in \"" + files.cert + "\"");
    return std::nullopt;
  }
  if (!read_staple(files.ocsp, spot, read)) return std::nullopt;
  return read;
}

Result<TlsCertificate> make_self_signed() {
  TlsCertificate made;
  made.key.reset(EVP_EC_gen("P-256"));
  made.leaf.reset(X509_new());
  made.chain.reset(sk_X509_new_null());
  const bool well = made.key != nullptr && fill_self_signed(*made.leaf, *made.key);
  ERR_clear_error();
  if (!well) return fail(ErrorCode::kSystem, Side::kUs, "a certificate could not be made");
  made.names = dns_names(*made.leaf);
  made.expires = time_of(X509_get0_notAfter(made.leaf.get()));
  return made;
}

CertificateFacts facts_of(X509& certificate) {
  CertificateFacts facts;
  const TlsHandle<BIO> out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  facts.subject.assign(text, std::min(static_cast<size_t>(size), CertificateFacts::kMostSubject));
  // The flags escape controls and what is not ASCII; this is for what they may have missed.
  std::erase_if(facts.subject, [](char c) { return c < 0x20 || c > 0x7e; });
  each_name(certificate, [&facts](const GENERAL_NAME& name) {
    const std::string one = name_text(name);
    if (one.empty() || facts.names.size() + 1 + one.size() > CertificateFacts::kMostNames) return;
    facts.names += (facts.names.empty() ? "" : ",") + one;
  });
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  X509_digest(&certificate, EVP_sha256(), digest, &digest_size);
  constexpr char kDigits[] = "0123456789abcdef";
  for (unsigned i = 0; i < digest_size; ++i) {
    facts.fingerprint += {kDigits[digest[i] >> 4], kDigits[digest[i] & 15]};
  }
  ERR_clear_error();
  return facts;
}

}  // namespace sluice::net
