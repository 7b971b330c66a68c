#include "proxy/net/tls_tickets.h"

#include <algorithm>
#include <cstring>

#include <openssl/core_names.h>
#include <openssl/rand.h>

namespace sluice::net {
namespace {

constexpr size_t kLong = 80;
constexpr size_t kShort = 48;
// A handshake that looks at the keys has done with them long before.
constexpr Duration kGrace = std::chrono::minutes(1);

TicketKeys::Key key_from(const char* at, bool is_long) {
  TicketKeys::Key key;
  key.is_long = is_long;
  std::memcpy(key.name.data(), at, 16);
  if (is_long) {
    std::memcpy(key.mac.data(), at + 16, 32);
    std::memcpy(key.cipher.data(), at + 48, 32);
  } else {
    std::memcpy(key.cipher.data(), at + 16, 16);
    std::memcpy(key.mac.data(), at + 32, 16);
  }
  return key;
}

}  // namespace

TicketKeys::Key::~Key() {
  OPENSSL_cleanse(cipher.data(), cipher.size());
  OPENSSL_cleanse(mac.data(), mac.size());
}

TicketKeys::TicketKeys()
    : aes128_(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr)),
      aes256_(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)) {}

TicketKeys::~TicketKeys() {
  delete keys_.load();
  EVP_CIPHER_free(aes128_);
  EVP_CIPHER_free(aes256_);
}

Result<TicketKeys::Keys> TicketKeys::parse(std::string_view bytes) {
  const bool is_long = bytes.size() % kLong == 0;
  if (bytes.empty() || (!is_long && bytes.size() % kShort != 0)) {
    return fail(ErrorCode::kInvalid, Side::kUs,
                "holds " + std::to_string(bytes.size()) +
                    " bytes; a key has 80 or 48 (openssl rand 80 > FILE)");
  }
  const size_t size = is_long ? kLong : kShort;
  if (bytes.size() / size > kMostKeys) {
    return fail(ErrorCode::kInvalid, Side::kUs,
                "holds more than " + std::to_string(kMostKeys) + " keys");
  }
  Keys keys;
  for (size_t at = 0; at < bytes.size(); at += size) {
    keys.push_back(key_from(bytes.data() + at, is_long));
  }
  return keys;
}

void TicketKeys::set(const Keys& keys, TimePoint now) {
  std::erase_if(retired_, [now](const Retired& one) { return now - one.at > kGrace; });
  const Keys* before = keys_.exchange(new Keys(keys), std::memory_order_acq_rel);
  if (before != nullptr) retired_.push_back({std::unique_ptr<const Keys>(before), now});
  changed_at_ = now;
}

void TicketKeys::rotate(TimePoint now) {
  char fresh[kLong];
  Keys next;
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(fresh), sizeof fresh) == 1) {
    next.push_back(key_from(fresh, true));
  }
  OPENSSL_cleanse(fresh, sizeof fresh);
  if (const Keys* now_used = keys_.load(); now_used != nullptr && !now_used->empty()) {
    next.push_back(now_used->front());
  }
  set(next, now);
}

bool TicketKeys::use(const Key& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac, bool sealing) const {
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  const EVP_CIPHER* const kind = key.is_long ? aes256_ : aes128_;
  return EVP_MAC_init(mac, key.mac.data(), key.is_long ? 32 : 16, params) == 1 &&
         EVP_CipherInit_ex(cipher, kind, nullptr, key.cipher.data(), iv, sealing ? 1 : 0) == 1;
}

// 1: sealed; 0: no ticket; -1: the handshake fails.
int TicketKeys::seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) const {
  const Keys* keys = keys_.load(std::memory_order_acquire);
  if (keys == nullptr || keys->empty()) return 0;
  const Key& key = keys->front();
  if (RAND_bytes(iv, 16) != 1) return -1;
  std::copy(key.name.begin(), key.name.end(), name);
  return use(key, iv, cipher, mac, true) ? 1 : -1;
}

// 0: not ours, so a whole handshake; 1: go on; 2: go on, and seal it anew.
int TicketKeys::open(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) const {
  const Keys* keys = keys_.load(std::memory_order_acquire);
  if (keys == nullptr) return 0;
  for (const Key& key : *keys) {
    if (!std::equal(key.name.begin(), key.name.end(), name)) continue;
    if (!use(key, iv, cipher, mac, false)) return -1;
    return &key == &keys->front() ? 1 : 2;
  }
  return 0;
}

}  // namespace sluice::net
