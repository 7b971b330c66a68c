// Directory: every endpoint of the process, by upstream, protocol and address, over reloads; where
// they come from (the configuration, names, live orders), and who is told when one changes. What a
// configuration would make of it is define()d without effect, and adopt()ed when it comes into
// force. Owned by Process, destroyed after the workers have ended; control thread, but for the news
// of endpoints, which comes from any.
//
//   an endpoint:   member of a set ── no longer named ──> leaving: kDraining ── every worker has
//                       ^                                    │                  heard ──> kGone
//                       └──────────── named again ───────────┘
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/event/soon.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/process_log.h"
#include "proxy/upstream/definer.h"
#include "proxy/upstream/discovery.h"
#include "proxy/upstream/endpoint_set.h"

namespace sluice::upstream {

// Control thread, never from inside a call to the Directory.
class DirectoryEvents {
 public:
  // For every worker: a set, a weight, a group has changed. `done`, on the control thread, once
  // all of them have it.
  virtual void on_definition(const Definition& definition, std::function<void()> done) = 0;
  // It is there from now on; again when a new configuration came into force.
  virtual void on_endpoint_named(const std::shared_ptr<Endpoint>& endpoint,
                                 const config::Upstream& upstream) = 0;
  virtual void on_endpoint_gone(const Endpoint& endpoint) = 0;
  virtual void on_endpoint_state(const std::string& upstream, Endpoint& endpoint,
                                 EndpointState from, EndpointState to) = 0;

 protected:
  ~DirectoryEvents() = default;
};

// For `sluice status` and whoever else wants to see it all.
struct EndpointView {
  std::shared_ptr<Endpoint> endpoint;
  std::string source;  // "file", "dns://app:8000", "live"
  bool is_leaving = false;
};
struct NameView {
  std::string text;
  size_t found = 0;
  std::string trouble;  // empty: none
};
struct UpstreamView {
  std::string name;
  config::Protocol protocol = config::Protocol::kHttp1;
  std::vector<EndpointView> endpoints;
  std::vector<NameView> names;
};

class Directory final : public Definer,
                        private DiscoveryEvents,
                        private event::SoonEvents,
                        private event::TimerEvents {
 public:
  // Requires: all of them outlive it.
  Directory(event::Loop& loop, net::Names& names, observe::Metrics& metrics,
            observe::ProcessLog& log, DirectoryEvents& events);
  ~Directory();

  Definition define(const config::Upstream& config, config::Faults& faults) override;
  // This is in force: workers are about to get it. Live orders stay with an upstream until a
  // configuration comes whose `endpoints` of it are others.
  void adopt(const std::vector<Definition>& definitions, const config::Resolver& resolver);
  // Every worker has what was adopted last.
  void on_installed(const std::vector<Definition>& definitions);

  // -- live orders: what was done, or why not --
  Result<std::string> add(std::string_view upstream, const net::SocketAddress& address,
                          uint32_t weight, uint32_t priority);
  Result<std::string> remove(std::string_view upstream, const std::string& endpoint);
  Result<std::string> drain(std::string_view upstream, const std::string& endpoint);
  Result<std::string> undrain(std::string_view upstream, const std::string& endpoint);
  Result<std::string> set_weight(std::string_view upstream, const std::string& endpoint,
                                 uint32_t weight);

  std::vector<UpstreamView> view() const;

 private:
  class Keeper;
  // What looks at endpoints is lent them by an owner of its own, so that it can be told from the
  // workers, who use them.
  struct Slot {
    std::shared_ptr<Endpoint> endpoint;
    std::shared_ptr<Endpoint> lent;
    Member member;
  };
  struct Entry {
    config::Upstream config;
    std::shared_ptr<Turnstile> turnstile;
    std::shared_ptr<Ejector> ejector;
    observe::UpstreamId id;
    LiveOrders orders;
    std::vector<Slot> slots;  // bounded by kMostMembers
    bool is_dirty = false;    // workers have another set
    std::vector<std::unique_ptr<Discovery>> discoveries;
  };
  // Until when one that is no longer named is waited for.
  enum class Until : uint8_t { kTold, kInstalled, kUnused };
  struct Leaving {
    std::string upstream;
    config::Protocol protocol;
    std::shared_ptr<Endpoint> endpoint;
    std::shared_ptr<Endpoint> lent;
    Until until;
    uint64_t told = 0;  // kTold: by which definition; 0: not yet
  };

  // -- sets --
  std::vector<Member> members(const config::Upstream& config, const Entry* known,
                              const LiveOrders& orders) const;
  std::shared_ptr<Endpoint> make(const std::string& upstream, const Member& member,
                                 std::shared_ptr<Turnstile> turnstile);
  std::shared_ptr<Endpoint> find_known(const std::string& upstream, config::Protocol protocol,
                                       const std::string& name) const;
  void renew(Entry& entry, const Definition* adopted);
  bool take_back(const Entry& entry, Slot& slot);
  std::shared_ptr<Endpoint> make_or_take(const Entry& entry, const Member& member,
                                         const Definition* adopted);
  void place(const Slot& slot, bool was_drained, bool is_back);
  void dismiss(Entry& entry, std::vector<Slot> gone, Until until);
  void end_leaving(const std::function<bool(const Leaving&)>& is_over);
  void take_sources(Entry& entry, const config::Resolver& resolver);
  void tell_soon(Entry& entry);

  // -- news --
  void on_news(const std::string& upstream, const std::string& name, EndpointState from,
               EndpointState to, EndpointNews why);
  void on_found(Discovery& discovery) override;
  void on_trouble(Discovery& discovery, const std::string& why) override;
  void on_recovered(Discovery& discovery) override;
  void on_soon() override;
  void on_timer(event::Timer& timer) override;
  Entry& entry_of(const Discovery& discovery);
  void count_troubles();

  // -- orders --
  Result<Entry*> find_entry(std::string_view upstream);
  Result<Slot*> find_slot(Entry& entry, const std::string& endpoint);
  std::string summary(const Entry& entry, const std::string& endpoint,
                      const std::string& what) const;

  event::Loop& loop_;
  net::Names& names_;
  observe::Metrics& metrics_;
  observe::ProcessLog& log_;
  DirectoryEvents& events_;
  std::map<std::string, Entry, std::less<>> entries_;  // as many as the configuration has upstreams
  std::vector<Leaving> leaving_;  // bounded: a set's worth for each change under way
  std::vector<std::pair<std::shared_ptr<Endpoint>, std::string>> named_;  // until the tick ends
  std::vector<std::shared_ptr<Endpoint>> gone_;                           // the same
  uint64_t told_ = 0;                                                     // definitions so far
  const std::shared_ptr<std::atomic<uint64_t>> troubled_;  // read by the metrics, which outlive us
  // Null once the Directory is gone; read on the control thread only.
  const std::shared_ptr<Directory*> self_ = std::make_shared<Directory*>(this);
  event::Soon soon_;
  event::Timer timer_;  // looks whether what is leaving is still used
  event::Timer sweep_;  // lets ejected endpoints in again
};

}  // namespace sluice::upstream
