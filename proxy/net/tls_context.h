// TlsContext: how one listener speaks TLS, ready for use: certificates by the name that is asked
// for, suites, protocols, keys of tickets, whose certificates clients may show. Built whole by the
// control thread or not at all, const and shared by workers and connections afterwards; another
// one takes its place when files change.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/fd.h"
#include "proxy/config/node.h"
#include "proxy/config/tls.h"
#include "proxy/net/tls_certificate.h"
#include "proxy/net/tls_tickets.h"

namespace sluice::net {

class TlsContext {
 public:
  struct Wish {
    const config::Tls& tls;
    std::string key;                                    // of its faults: "listeners[0].tls"
    std::shared_ptr<const TlsCertificate> self_signed;  // where the configuration wants it
    std::shared_ptr<const TicketKeys> tickets;
    std::vector<std::string> protocols;  // ALPN, ours first ("h2", "http/1.1")
    std::shared_ptr<const Fd> key_log;   // null: secrets are told to nobody
  };
  // Of the certificates for one name the first that ends.
  using Expiries = std::map<std::string, WallTime, std::less<>>;

  // Before anything else is asked of OpenSSL: no file of the machine changes what we do.
  static void start_library();
  // Null, and every reason in `faults`, when it cannot be built.
  static std::shared_ptr<const TlsContext> make(const Wish& wish, config::Faults& faults);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // OpenSSL's, for names that nobody has and to begin with.
  SSL_CTX* handle() const { return default_; }
  // For the name a client asks for (RFC 6066 §3): exact, *.rest, the default.
  SSL_CTX* find(std::string_view name) const;
  const Expiries& expiries() const { return expiries_; }
  // The kernel encrypts where it can (module tls), so that files go out by sendfile.
  static bool kernel_offers_tls();

 private:
  // Indices of certificates that a client may choose from: one of each kind.
  using Set = std::vector<size_t>;

  explicit TlsContext(const Wish& wish)
      : tickets_(wish.tickets), self_signed_(wish.self_signed), key_log_(wish.key_log) {}
  void set_protocols(const std::vector<std::string>& protocols);
  void name_certificates(std::map<std::string, Set>& named) const;
  bool build(const Wish& wish, const std::string& client_ca, config::Faults& faults);
  SSL_CTX* context_of(const Set& set, const Wish& wish, const std::string& client_ca,
                      config::Faults& faults);
  bool set_up(SSL_CTX* context, const Wish& wish, const std::string& client_ca);
  bool ask_clients(SSL_CTX* context, const Wish& wish, const std::string& client_ca);

  // What OpenSSL calls; `self` by the context's extra data.
  static const TlsContext& of(const SSL* ssl);
  static int on_name(SSL* ssl, int* alert, void* self) noexcept;
  static int on_protocols(SSL* ssl, const unsigned char** out, unsigned char* size,
                          const unsigned char* offered, unsigned offered_size, void*) noexcept;
  static int on_staple(SSL* ssl, void*) noexcept;
  static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, int sealing) noexcept;
  static void on_secret(const SSL* ssl, const char* line) noexcept;
  int staple(SSL* ssl) const;

  const std::shared_ptr<const TicketKeys> tickets_;
  const std::shared_ptr<const TlsCertificate> self_signed_;
  const std::shared_ptr<const Fd> key_log_;
  std::vector<TlsCertificate> certificates_;
  std::vector<const TlsCertificate*> used_;  // of certificates_, or the self-signed one
  std::string protocols_;                    // as on the wire: sizes and names
  Expiries expiries_;
  std::map<Set, TlsHandle<SSL_CTX>> contexts_;
  std::unordered_map<std::string, SSL_CTX*> by_name_;
  SSL_CTX* default_ = nullptr;
};

}  // namespace sluice::net
