// Endpoint: one address of one upstream, as all workers know it. Keyed by upstream and address, so
// it survives reloads; made by the control thread, shared by the snapshots that name it. Its
// numbers are touched from every worker, but only where a limit over all of them is asked for
// (max_in_flight).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "proxy/net/address.h"
#include "proxy/observe/metric_ids.h"

namespace sluice::upstream {

class Endpoint {
 public:
  Endpoint(std::string name, net::SocketAddress address, observe::EndpointId id)
      : name_(std::move(name)), address_(address), id_(id) {}

  const std::string& name() const { return name_; }  // "127.0.0.1:8000"
  const net::SocketAddress& address() const { return address_; }

  observe::EndpointId id() const { return id_; }

  // A permit for one request; false when `limit` are out already.
  // Sequentially consistent, as the turnstile is: who finds no place after saying that it waits,
  // and who frees one before asking who waits, must not miss each other.
  bool try_enter(uint32_t limit) {
    uint32_t now = inside_.load(std::memory_order_seq_cst);
    while (now < limit) {
      if (inside_.compare_exchange_weak(now, now + 1, std::memory_order_seq_cst)) return true;
    }
    return false;
  }
  void leave() { inside_.fetch_sub(1, std::memory_order_seq_cst); }
  uint32_t inside() const { return inside_.load(std::memory_order_relaxed); }

 private:
  const std::string name_;
  const net::SocketAddress address_;
  const observe::EndpointId id_;
  std::atomic<uint32_t> inside_{0};
};

}  // namespace sluice::upstream
