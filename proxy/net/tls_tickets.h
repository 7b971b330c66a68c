// TicketKeys: what session tickets (RFC 5077, RFC 8446 §4.6.1) are sealed with. Our own keys, which
// rotate, or those of a file that several tasks share, so that one resumes what another began.
// Outlives reloads, so sessions do, too. Changed by the control thread; workers only look, without
// a lock: what is taken out is kept for a while.
//
//   own:  present -> previous -> gone, each for `rotate`; a ticket lives as long as one period
//   file: all open tickets, the first seals new ones
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/net/tls_handles.h"

namespace sluice::net {

class TicketKeys {
 public:
  static constexpr size_t kMostKeys = 8;
  struct Key {
    Key() = default;
    Key(const Key&) = default;
    Key& operator=(const Key&) = default;
    ~Key();  // wiped
    std::array<unsigned char, 16> name{};
    std::array<unsigned char, 32> cipher{};  // AES-CBC; the first 16 bytes with 48 byte keys
    std::array<unsigned char, 32> mac{};     // HMAC-SHA256; the same
    bool is_long = true;
  };
  using Keys = std::vector<Key>;

  TicketKeys();
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // A file of keys of 80 bytes (name, HMAC key of 32, AES-256 key) or 48 (name, AES-128 key, HMAC
  // key of 16), as nginx has them; of several one after the other. A size that is a multiple of
  // both is of the longer ones.
  static Result<Keys> parse(std::string_view bytes);

  // -- the control thread --
  void set(const Keys& keys, TimePoint now);
  void rotate(TimePoint now);  // a new one of our own, and the one before
  TimePoint changed_at() const { return changed_at_; }

  // -- any thread: OpenSSL's callback (SSL_CTX_set_tlsext_ticket_key_evp_cb) --
  int seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;
  int open(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
           EVP_MAC_CTX* mac) const;

 private:
  struct Retired {
    std::unique_ptr<const Keys> keys;
    TimePoint at;
  };
  bool use(const Key& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
           bool sealing) const;

  std::atomic<const Keys*> keys_{nullptr};  // owned; empty: no ticket is sealed
  std::vector<Retired> retired_;            // bounded: those of the last minute
  TimePoint changed_at_{};
  // Looked up once: OpenSSL 3 searches its providers each time otherwise.
  EVP_CIPHER* const aes128_;
  EVP_CIPHER* const aes256_;
};

}  // namespace sluice::net
