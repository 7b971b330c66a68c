// Discovery: what a name among an upstream's endpoints stands for at present: asked at once, again
// when the time to live is over, and sooner after a failure, which takes nothing away. Owned by the
// Directory, over reloads; control thread only.
//
//   start ─> asking ─┬─ all answered ──> waits for ttl (min_ttl .. max_ttl) ─> asking
//                    └─ something failed: what was known stays ─> waits for retry ─> asking
//
// An SRV name is asked for its services first, then each target for its addresses, a few at a time.
// "There is no such name" is a failure like others: a zone that is being rewritten, or a server
// that has lost it, must not take the endpoints of a service that runs.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/event/loop.h"
#include "proxy/net/names.h"

namespace sluice::upstream {

// One address that a name stands for.
struct Found {
  net::SocketAddress address;
  std::string name;     // of the address: "10.0.0.7:8000"
  uint32_t weight = 1;  // SRV only; the source's otherwise
  uint32_t group = 0;   // SRV: its priority's place among the answer's; 0 is asked first
  bool operator==(const Found& other) const {
    return name == other.name && weight == other.weight && group == other.group;
  }
};

// "dns://app.internal:8000", "srv://_http._tcp.app.internal". Requires: kDns or kSrv.
std::string text_of(const config::EndpointSource& source);

class Discovery;

// From the Discovery's own tick, never from inside a call to it.
class DiscoveryEvents {
 public:
  // found() is another set than before.
  virtual void on_found(Discovery& discovery) = 0;
  // It fails, for this reason: told once for each reason, until it is well again.
  virtual void on_trouble(Discovery& discovery, const std::string& why) = 0;
  virtual void on_recovered(Discovery& discovery) = 0;

 protected:
  ~DiscoveryEvents() = default;
};

class Discovery final : private net::LookupEvents, private event::TimerEvents {
 public:
  // Requires: source.kind is kDns or kSrv. Begins to ask on the next tick.
  Discovery(event::Loop& loop, net::Names& names, const config::EndpointSource& source,
            const config::Resolver& config, DiscoveryEvents& events);

  bool is_of(const config::EndpointSource& source) const {
    return source.kind == source_.kind && source.name == source_.name &&
           source.port == source_.port;
  }
  std::string text() const { return text_of(source_); }
  // Sorted by group and address; what the last good answers said.
  const std::vector<Found>& found() const { return found_; }
  // Why it fails at present; empty: it does not.
  const std::string& trouble() const { return trouble_; }
  bool has_answered() const { return has_answered_; }
  // A reload. Other servers are the Resolver's affair; a failure is tried again at once.
  void apply(const config::Resolver& config);

 private:
  // A host behind the name, and what is known of its addresses.
  struct Target {
    net::Service service;
    std::vector<net::SocketAddress> v4;
    std::vector<net::SocketAddress> v6;
    std::unique_ptr<net::Lookup> lookup;
  };
  static constexpr size_t kMostAtOnce = 8;
  static constexpr size_t kMostFound = 256;

  void on_timer(event::Timer& timer) override;
  void on_services(net::Lookup& lookup, const Result<net::ServiceAnswer>& answer) override;
  void on_addresses(net::Lookup& lookup, const net::AddressAnswer& answer) override;
  void take_targets(const std::vector<net::Service>& services);
  void ask_targets();
  void finish();
  std::vector<Found> gathered() const;

  net::Names& names_;
  const config::EndpointSource source_;
  config::Resolver config_;
  DiscoveryEvents& events_;
  std::vector<Target> targets_;  // bounded by net::kMostServices
  std::vector<Found> found_;     // bounded by kMostFound
  bool has_answered_ = false;
  std::string trouble_;
  // Of the round that is under way.
  size_t next_target_ = 0;
  size_t answered_ = 0;
  Duration ttl_{};
  std::string failure_;  // the first one
  std::minstd_rand random_{std::random_device{}()};
  std::unique_ptr<net::Lookup> services_lookup_;
  std::vector<std::unique_ptr<net::Lookup>> spent_;  // still on the stack; until the next round
  event::Timer timer_;
};

}  // namespace sluice::upstream
