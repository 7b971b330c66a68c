#include "proxy/exchange/request_id.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <sys/random.h>

#include "proxy/base/assert.h"

namespace sluice::exchange {
namespace {

// xoshiro256++ (Blackman, Vigna); all zero until seeded.
struct Generator {
  uint64_t state[4] = {};

  void seed() {
    auto* at = reinterpret_cast<char*>(state);
    size_t left = sizeof state;
    while (left > 0) {
      const ssize_t got = getrandom(at, left, 0);
      SLUICE_ASSERT(got > 0 || errno == EINTR);
      if (got <= 0) continue;
      at += got;
      left -= static_cast<size_t>(got);
    }
    state[0] |= 1;  // never all zero
  }
  uint64_t next() {
    const uint64_t result = std::rotl(state[0] + state[3], 23) + state[0];
    const uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = std::rotl(state[3], 45);
    return result;
  }
};

constinit thread_local Generator generator;

using HexPair = std::array<char, 2>;

constexpr auto kHexPairs = [] {
  constexpr char kDigits[] = "0123456789abcdef";
  std::array<HexPair, 256> pairs{};
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}();

// Which byte comes first does not matter: all are random.
void put_hex(uint64_t number, char* into) {
  for (int i = 0; i < 8; ++i, number >>= 8, into += 2) {
    std::memcpy(into, kHexPairs[number & 255].data(), 2);
  }
}

}  // namespace

void make_request_id(char* into) {
  if ((generator.state[0] | generator.state[1] | generator.state[2] | generator.state[3]) == 0) {
    generator.seed();
  }
  put_hex(generator.next(), into);
  put_hex(generator.next(), into + 16);
}

bool is_sane_request_id(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  for (const char c : id) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

}  // namespace sluice::exchange
