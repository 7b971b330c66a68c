#include "proxy/exchange/client_table.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "proxy/base/assert.h"

namespace sluice::exchange {
namespace {

constexpr int64_t kMoving = std::numeric_limits<int64_t>::max();  // the entry changes hands
constexpr int kMostTries = 8;  // against other workers; then it is as if there were no place
constexpr uint64_t kOpenMask = (1ULL << 24) - 1;
constexpr uint64_t kTagMask = ~kOpenMask;

__extension__ using Wide = unsigned __int128;  // both compilers have it

uint64_t mixed(uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Zeroed, by the kernel and page by page: what nobody touches is not there.
void* zeroed(size_t count, size_t size) {
  void* memory = std::calloc(count, size);
  SLUICE_ASSERT(memory != nullptr);  // out of memory: die (STYLE, errors)
  return memory;
}

}  // namespace

ClientRate::ClientRate(const config::Rate& rate, uint32_t of) : scope(of) {
  if (rate.count == 0) return;
  each = std::max(rate.per / rate.count, Duration{1});
  burst = each * (rate.burst > 0 ? rate.burst : rate.count);
}

void ClientTable::Free::operator()(void* memory) const {
  std::free(memory);
}

ClientTable::ClientTable(size_t clients)
    : sets_(std::bit_ceil(std::max<size_t>(1, clients / kWays))),
      debts_(static_cast<Debt*>(zeroed(sets_ * kWays, sizeof(Debt)))),
      open_(static_cast<std::atomic<uint64_t>*>(zeroed(sets_ * kWays, sizeof(uint64_t)))) {
  std::random_device random;
  for (uint64_t& part : secret_) part = static_cast<uint64_t>(random()) << 32 | random();
}

ClientTable::~ClientTable() = default;

// Of IPv6 the first half: a client has a /64 at least, and as many addresses as it likes in it.
uint64_t ClientTable::hash(const net::IpPort& client, uint32_t scope) const {
  std::array<uint64_t, 2> halves{};
  std::memcpy(halves.data(), client.ip.data(), sizeof halves);
  if (!client.is_v4()) halves[1] = 0;
  const uint64_t first = mixed(halves[0] ^ secret_[0], halves[1] ^ secret_[1]);
  return mixed(first ^ secret_[2], (uint64_t{scope} << 1 | 1) ^ secret_[0]) ^ first;
}

bool ClientTable::move_in(Debt& place, int64_t seen, uint64_t whose, int64_t until) {
  if (!place.until.compare_exchange_strong(seen, kMoving, std::memory_order_acquire)) return false;
  place.whose.store(whose, std::memory_order_relaxed);
  place.until.store(until, std::memory_order_release);
  return true;
}

ClientTable::Verdict ClientTable::take(const net::IpPort& client, const ClientRate& rate,
                                       TimePoint now) {
  const uint64_t whose = hash(client, rate.scope) | 1;  // 0 is nobody
  Debt* const set = &debts_[(whose >> 32) % sets_ * kWays];
  const int64_t at = now.time_since_epoch().count();
  for (int tries = 0; tries < kMostTries; ++tries) {
    Debt* mine = nullptr;
    Debt* least = set;
    int64_t least_until = kMoving;
    for (Debt* one = set; one != set + kWays && mine == nullptr; ++one) {
      const int64_t until = one->until.load(std::memory_order_acquire);
      if (one->whose.load(std::memory_order_relaxed) == whose) mine = one;
      if (until >= least_until && mine == nullptr) continue;
      least = one;
      least_until = until;
    }
    const int64_t paid = mine == nullptr ? at : std::max(least_until, at);
    if (mine != nullptr && least_until == kMoving) continue;
    const int64_t next = paid + rate.each.count();
    if (next - at > rate.burst.count()) return {false, true, Duration{next - at} - rate.burst};
    if (mine != nullptr) {
      if (mine->until.compare_exchange_weak(least_until, next)) return {};
      continue;
    }
    if (least_until >= next) return {true, false, Duration{0}};
    if (move_in(*least, least_until, whose, next)) return {};
  }
  return {true, false, Duration{0}};
}

ClientTable::Verdict ClientTable::take_place(const net::IpPort& client, uint32_t scope,
                                             uint32_t most, Place& place) {
  const uint64_t whose = hash(client, scope);
  const uint64_t tag = whose & kTagMask;
  std::atomic<uint64_t>* const set = &open_[whose % sets_ * kWays];
  const uint64_t ceiling = std::min<uint64_t>(most, kOpenMask - 1);
  for (int tries = 0; tries < kMostTries; ++tries) {
    std::atomic<uint64_t>* found = nullptr;
    std::atomic<uint64_t>* free = nullptr;
    uint64_t seen = 0;
    uint64_t seen_free = 0;
    for (auto* one = set; one != set + kWays && found == nullptr; ++one) {
      const uint64_t value = one->load(std::memory_order_relaxed);
      if ((value & kOpenMask) == 0 && free == nullptr) {
        free = one;
        seen_free = value;
      } else if ((value & kTagMask) == tag && (value & kOpenMask) != 0) {
        found = one;
        seen = value;
      }
    }
    if (found != nullptr && (seen & kOpenMask) >= ceiling) return {false, true, Duration{0}};
    if (found == nullptr && free == nullptr) return {true, false, Duration{0}};
    auto* const taken = found != nullptr ? found : free;
    uint64_t expected = found != nullptr ? seen : seen_free;
    const uint64_t next = found != nullptr ? seen + 1 : tag | 1;
    if (!taken->compare_exchange_weak(expected, next, std::memory_order_relaxed)) continue;
    place.entry_ = taken;
    return {};
  }
  return {true, false, Duration{0}};
}

}  // namespace sluice::exchange
