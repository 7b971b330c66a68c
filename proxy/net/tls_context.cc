#include "proxy/net/tls_context.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "proxy/base/text.h"

namespace sluice::net {
namespace {

// Mozilla's "intermediate" (version 5.7), whose order is the client's choice, but for the three
// suites with finite-field DHE: no client of today needs them, and each costs us much more than it
// costs whoever asks (CVE-2002-20001).
constexpr const char* kSuites12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kSuites13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr int kMostDepth = 5;  // of a client's chain

int self_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string last_error() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

}  // namespace

// The same everywhere, also in an image that has no such file.
void TlsContext::start_library() {
  static const bool started = OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1;
  static_cast<void>(started);
}

bool TlsContext::kernel_offers_tls() {
#ifdef OPENSSL_NO_KTLS
  return false;
#else
  // Asked once, and of a socket that is not connected: with the module it is ENOTCONN, without it
  // ENOENT. OpenSSL would ask for each connection, and the kernel look for the module each time.
  static const bool offered = [] {
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::setsockopt(fd.get(), IPPROTO_TCP, TCP_ULP, "tls", 3) == 0 || errno == ENOTCONN;
  }();
  return offered;
#endif
}

std::shared_ptr<const TlsContext> TlsContext::make(const Wish& wish, config::Faults& faults) {
  start_library();
  const std::shared_ptr<TlsContext> made(new TlsContext(wish));
  bool well = true;
  for (size_t i = 0; i < wish.tls.certificates.size(); ++i) {
    const std::string key = wish.key + ".certificates[" + std::to_string(i) + "]";
    auto read = read_certificate(wish.tls.certificates[i], key, faults);
    well = well && read.has_value();
    if (read) made->certificates_.push_back(std::move(*read));
  }
  std::string client_ca;
  if (wish.tls.client_certificate != config::ClientCertificate::kOff) {
    auto text = read_file(wish.tls.client_ca);
    const bool has_any = text && parse_certificates(*text) != nullptr;
    if (!has_any) {
      faults.add(
          wish.tls.place.file, wish.tls.place.line, wish.key + ".client_ca",
          text ? "no certificate in PEM in \"" + wish.tls.client_ca + "\"" : text.error().detail);
      well = false;
    }
    client_ca = text ? std::move(*text) : std::string{};
  }
  if (!well) return nullptr;
  for (const TlsCertificate& one : made->certificates_) made->used_.push_back(&one);
  if (wish.self_signed != nullptr) made->used_.push_back(wish.self_signed.get());
  if (made->used_.empty()) return nullptr;
  made->set_protocols(wish.protocols);
  return made->build(wish, client_ca, faults) ? made : nullptr;
}

void TlsContext::set_protocols(const std::vector<std::string>& protocols) {
  for (const std::string& name : protocols) {
    protocols_ += static_cast<char>(name.size());
    protocols_ += name;
  }
}

void TlsContext::name_certificates(std::map<std::string, Set>& named) const {
  for (size_t i = 0; i < used_.size(); ++i) {
    for (const std::string& name : used_[i]->names) {
      Set& set = named[name];
      const bool has_kind = std::any_of(set.begin(), set.end(), [this, i](size_t other) {
        return used_[other]->kind() == used_[i]->kind();
      });
      if (!has_kind) set.push_back(i);
    }
  }
}

bool TlsContext::build(const Wish& wish, const std::string& client_ca, config::Faults& faults) {
  std::map<std::string, Set> named;
  name_certificates(named);
  const auto& names = used_[0]->names;
  default_ = context_of(names.empty() ? Set{0} : named[names[0]], wish, client_ca, faults);
  bool well = default_ != nullptr;
  for (const auto& [name, set] : named) {
    SSL_CTX* context = well ? context_of(set, wish, client_ca, faults) : nullptr;
    well = context != nullptr;
    by_name_[name] = context;
  }
  for (const TlsCertificate* one : used_) {
    const auto [known, is_new] = expiries_.try_emplace(std::string(one->label()), one->expires);
    known->second = std::min(known->second, one->expires);
  }
  return well;
}

SSL_CTX* TlsContext::context_of(const Set& set, const Wish& wish, const std::string& client_ca,
                                config::Faults& faults) {
  const auto known = contexts_.find(set);
  if (known != contexts_.end()) return known->second.get();
  TlsHandle<SSL_CTX> made(SSL_CTX_new(TLS_server_method()));
  bool well = made != nullptr && set_up(made.get(), wish, client_ca);
  for (const size_t i : set) {
    const TlsCertificate& one = *used_[i];
    well = well && SSL_CTX_use_cert_and_key(made.get(), one.leaf.get(), one.key.get(),
                                            one.chain.get(), 1) == 1;
  }
  if (!well) {
    const size_t at = set.front();
    const bool has_file = at < wish.tls.certificates.size();
    const config::Place& place = has_file ? wish.tls.certificates[at].place : wish.tls.place;
    faults.add(place.file, place.line,
               has_file ? wish.key + ".certificates[" + std::to_string(at) + "]" : wish.key,
               "cannot be used: " + last_error());
    return nullptr;
  }
  return contexts_.emplace(set, std::move(made)).first->second.get();
}

bool TlsContext::set_up(SSL_CTX* context, const Wish& wish, const std::string& client_ca) {
  uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
#ifdef SSL_OP_ENABLE_KTLS
  if (kernel_offers_tls()) options |= SSL_OP_ENABLE_KTLS;
#endif
  SSL_CTX_set_options(context, options);
  // An idle connection gives back its buffers; what is written comes from wherever it lies then.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);  // a record's head and body by one system call
  SSL_CTX_set_ex_data(context, self_index(), this);
  // Nothing is kept for a client but what it keeps itself; each connection gets it one ticket.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  const auto life = std::chrono::duration_cast<std::chrono::seconds>(wish.tls.tickets.rotate);
  SSL_CTX_set_timeout(context, static_cast<long>(life.count()));
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, &TlsContext::on_ticket);
  SSL_CTX_set_tlsext_servername_callback(context, &TlsContext::on_name);
  SSL_CTX_set_tlsext_servername_arg(context, this);
  SSL_CTX_set_tlsext_status_cb(context, &TlsContext::on_staple);
  SSL_CTX_set_alpn_select_cb(context, &TlsContext::on_protocols, nullptr);
  if (key_log_ != nullptr) SSL_CTX_set_keylog_callback(context, &TlsContext::on_secret);
  const bool is_13 = wish.tls.min_version == config::TlsVersion::k13;
  return SSL_CTX_set_min_proto_version(context, is_13 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kSuites12) == 1 &&
         SSL_CTX_set_ciphersuites(context, kSuites13) == 1 &&
         SSL_CTX_set1_groups_list(context, kGroups) == 1 && ask_clients(context, wish, client_ca);
}

bool TlsContext::ask_clients(SSL_CTX* context, const Wish& wish, const std::string& client_ca) {
  // What a session was begun under is part of it: one from before these authorities were asked for
  // is not resumed, and all tasks of the same configuration agree.
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const std::string under =
      "sluice" + std::to_string(static_cast<int>(wish.tls.client_certificate)) + client_ca;
  if (EVP_Digest(under.data(), under.size(), digest, &size, EVP_sha256(), nullptr) != 1 ||
      SSL_CTX_set_session_id_context(context, digest, size) != 1) {
    return false;
  }
  if (wish.tls.client_certificate == config::ClientCertificate::kOff) return true;
  const bool is_required = wish.tls.client_certificate == config::ClientCertificate::kRequired;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (is_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  SSL_CTX_set_verify_depth(context, kMostDepth);
  const auto authorities = parse_certificates(client_ca);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (int i = 0; i < sk_X509_num(authorities.get()); ++i) {
    X509* one = sk_X509_value(authorities.get(), i);
    if (X509_STORE_add_cert(store, one) != 1 || SSL_CTX_add_client_CA(context, one) != 1) {
      return false;
    }
  }
  return true;
}

SSL_CTX* TlsContext::find(std::string_view name) const {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  std::string wanted = to_lower(name);
  if (const auto exact = by_name_.find(wanted); exact != by_name_.end()) return exact->second;
  // RFC 6125 §6.4.3: the star stands for one label.
  const auto dot = wanted.find('.');
  if (dot == std::string::npos) return default_;
  const auto wildcard = by_name_.find("*" + wanted.substr(dot));
  return wildcard == by_name_.end() ? default_ : wildcard->second;
}

// ---- what OpenSSL calls ----

const TlsContext& TlsContext::of(const SSL* ssl) {
  return *static_cast<const TlsContext*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), self_index()));
}

int TlsContext::on_name(SSL* ssl, int*, void* self) noexcept {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* const wanted = static_cast<const TlsContext*>(self)->find(name);
  if (wanted != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, wanted);
  return SSL_TLSEXT_ERR_OK;
}

// Ours first. RFC 7301 §3.2: who offers protocols, and none that we speak, is told so.
int TlsContext::on_protocols(SSL* ssl, const unsigned char** out, unsigned char* size,
                             const unsigned char* offered, unsigned offered_size, void*) noexcept {
  const std::string& ours = of(ssl).protocols_;
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int TlsContext::on_staple(SSL* ssl, void*) noexcept {
  return of(ssl).staple(ssl);
}

int TlsContext::staple(SSL* ssl) const {
  const X509* const chosen = SSL_get_certificate(ssl);
  for (const TlsCertificate* one : used_) {
    if (one->leaf.get() != chosen || one->staple.empty()) continue;
    if (one->staple_until < wall_now()) break;  // it would only do harm
    void* copy = OPENSSL_memdup(one->staple.data(), one->staple.size());
    if (copy == nullptr) break;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(one->staple.size()));
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int TlsContext::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                          EVP_MAC_CTX* mac, int sealing) noexcept {
  const TicketKeys& keys = *of(ssl).tickets_;
  return sealing != 0 ? keys.seal(name, iv, cipher, mac) : keys.open(name, iv, cipher, mac);
}

// O_APPEND: lines of several workers do not mix.
void TlsContext::on_secret(const SSL* ssl, const char* line) noexcept {
  const std::string whole = std::string(line) + "\n";
  const ssize_t written = ::write(of(ssl).key_log_->get(), whole.data(), whole.size());
  static_cast<void>(written);  // a full disk must not end connections
}

}  // namespace sluice::net
