// ClientTable: what is remembered of client addresses, for all workers together: how fast they come
// and how many connections they have open. Its size is fixed at birth; untouched, it costs nothing.
// Made by the control thread, outlives the workers; any thread, no lock.
//
// A client is hashed under a secret into a set of kWays entries. A rate is kept as one number: the
// time until which what was taken is paid off (GCRA). Once that has passed, the entry says what no
// entry would say, too, and is free. A newcomer takes the place of who owes least, and less than
// itself: a flood of addresses that come once cannot make it forget one that comes all the time.
// Who finds no place is let in unremembered.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "proxy/base/clock.h"
#include "proxy/config/values.h"
#include "proxy/net/address.h"

namespace sluice::exchange {

// A rate, ready for use. `scope` keeps what is limited apart: listeners, connections from requests.
struct ClientRate {
  ClientRate() = default;
  ClientRate(const config::Rate& rate, uint32_t of);
  bool is_on() const { return each > Duration{0}; }

  uint32_t scope = 0;
  Duration each{0};   // between two, at that rate; 0: no limit
  Duration burst{0};  // `each` times those that may come at once
};

class ClientTable {
 public:
  // `clients`: how many of them are remembered, for each purpose; rounded up.
  explicit ClientTable(size_t clients);
  ~ClientTable();

  struct Verdict {
    bool admitted = true;
    bool remembered = true;
    Duration wait{0};  // until one more would be admitted
  };

  // One more; counted unless it is refused. Requires: rate.is_on().
  Verdict take(const net::IpPort& client, const ClientRate& rate, TimePoint now);

  // A connection's place among those of its client; given back at its end.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Place() {
      if (entry_ != nullptr) entry_->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class ClientTable;
    std::atomic<uint64_t>* entry_ = nullptr;
  };
  // Requires: the table outlives the place; an empty one.
  Verdict take_place(const net::IpPort& client, uint32_t scope, uint32_t most, Place& place);

 private:
  static constexpr size_t kWays = 8;
  struct Debt {
    std::atomic<uint64_t> whose;
    std::atomic<int64_t> until;  // nanoseconds of the steady clock
  };

  uint64_t hash(const net::IpPort& client, uint32_t scope) const;
  // False: somebody else was faster.
  static bool move_in(Debt& place, int64_t seen, uint64_t whose, int64_t until);

  struct Free {
    void operator()(void* memory) const;
  };
  std::array<uint64_t, 3> secret_;
  size_t sets_;
  std::unique_ptr<Debt[], Free> debts_;
  // The upper kTagBits of a hash above, the connections that are open below.
  std::unique_ptr<std::atomic<uint64_t>[], Free> open_;
};

}  // namespace sluice::exchange
