// Hash: 64 bits of a text, the same in every process, on every machine and in every release, so
// that all tasks agree where a key belongs. FNV-1a, then a finalizer that spreads short texts over
// all bits. Not for tables that an attacker fills.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

constexpr uint64_t stable_hash(std::string_view text, uint64_t seed = 0) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ seed;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

}  // namespace sluice
