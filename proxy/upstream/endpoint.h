// Endpoint: one address of one upstream, as all threads know it. Keyed by upstream and address, so
// it survives reloads; made by the control thread (upstream/directory), shared by the snapshots
// that name it. What is believed of it is an EndpointMachine behind a mutex, read without one: news
// that changes nothing, as an answer of an endpoint that is ready, costs a load.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "proxy/base/clock.h"
#include "proxy/net/address.h"
#include "proxy/observe/metric_ids.h"
#include "proxy/upstream/endpoint_machine.h"

namespace sluice::upstream {

class Endpoint;

class EndpointEvents {
 public:
  // On the thread that brought the news, under no lock. Short: post what takes longer.
  virtual void on_endpoint_changed(Endpoint& endpoint, EndpointState from, EndpointState to,
                                   EndpointNews why) = 0;

 protected:
  ~EndpointEvents() = default;
};

// What the ejector counts of it, on all threads. Relaxed: a judgement from almost all of it is as
// good.
struct EndpointTally {
  std::atomic<uint32_t> errors_in_row{0};
  std::atomic<uint64_t> ejections{0};
  // Of the present interval, while rate or latency are asked for.
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> failures{0};
  std::atomic<Duration::rep> waited{0};
};

class Endpoint {
 public:
  // `events` outlives it; null: nobody is told.
  Endpoint(std::string name, net::SocketAddress address, observe::EndpointId id,
           EndpointEvents* events = nullptr)
      : name_(std::move(name)), address_(address), id_(id), events_(events) {}

  const std::string& name() const { return name_; }  // "127.0.0.1:8000"
  const net::SocketAddress& address() const { return address_; }
  observe::EndpointId id() const { return id_; }

  // Any thread.
  EndpointState state() const { return state_.load(std::memory_order_acquire); }
  void note(EndpointNews news);
  // Since when it is in its state (steady; nanoseconds are enough for arithmetic only).
  TimePoint changed_at() const {
    return TimePoint{Duration{changed_at_.load(std::memory_order_relaxed)}};
  }

  // The share of traffic beside the others', and the group that is asked first (0).
  uint32_t weight() const { return weight_.load(std::memory_order_relaxed); }
  void set_weight(uint32_t weight) { weight_.store(weight, std::memory_order_relaxed); }
  uint32_t priority() const { return priority_.load(std::memory_order_relaxed); }
  void set_priority(uint32_t priority) { priority_.store(priority, std::memory_order_relaxed); }

  // The watch found the application's accept queue full: dialling would only lose a second.
  bool backlog_is_full() const { return backlog_is_full_.load(std::memory_order_relaxed); }
  void set_backlog_full(bool full) { backlog_is_full_.store(full, std::memory_order_relaxed); }

  // Out for its failures until then (passive ejection); still used when nothing else is left.
  bool is_ejected() const { return is_ejected_.load(std::memory_order_relaxed); }
  void set_ejected(bool ejected) { is_ejected_.store(ejected, std::memory_order_relaxed); }

  // The keep-alive the application is seen to have: how long an idle connection lived before its
  // FIN. Zero: not seen yet. Kept as the least of what was seen lately.
  Duration seen_keep_alive() const {
    return Duration{seen_keep_alive_.load(std::memory_order_relaxed)};
  }
  void set_seen_keep_alive(Duration idle) {
    seen_keep_alive_.store(idle.count(), std::memory_order_relaxed);
  }

  EndpointTally& tally() { return tally_; }

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
  EndpointEvents* const events_;
  std::mutex mutex_;
  EndpointMachine machine_;  // guarded by mutex_
  std::atomic<EndpointState> state_{EndpointState::kStarting};
  std::atomic<Duration::rep> changed_at_{steady_now().time_since_epoch().count()};
  std::atomic<uint32_t> weight_{1};
  std::atomic<uint32_t> priority_{0};
  std::atomic<bool> backlog_is_full_{false};
  std::atomic<bool> is_ejected_{false};
  std::atomic<Duration::rep> seen_keep_alive_{0};
  std::atomic<uint32_t> inside_{0};
  EndpointTally tally_;
};

}  // namespace sluice::upstream
