// ListenerWatch: sees that an application's listener goes or comes back, within milliseconds and
// without the application noticing (law 6): it looks at the kernel's tables, not at the
// application. Only endpoints that cannot be looked at (other hosts, other namespaces) are
// connected to, and only while they are away. Its news goes to Endpoint::note(). Owned by Lookout;
// control thread.
//
//   to be looked at:   every 20 ms; every 5 ms while any is away
//   not, and away:     connected to after 5 ms, slowing to 50 ms, after ten seconds to 1 s
//   not, not away:     left alone
#pragma once

#include <memory>
#include <vector>

#include "proxy/event/beat.h"
#include "proxy/event/loop.h"
#include "proxy/net/folder_watch.h"
#include "proxy/net/listener_table.h"
#include "proxy/upstream/connect_probe.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

class ListenerWatch final : private event::BeatEvents,
                            private event::TimerEvents,
                            private net::FolderEvents,
                            private ProbeEvents {
 public:
  // Requires: source outlives the watch.
  ListenerWatch(event::Loop& loop, net::ListenerSource& source);
  ~ListenerWatch();

  // What brings an endpoint back from kHolding: its listener, or only a check that was well (until
  // the first one was).
  enum class Release : uint8_t { kByListener, kByCheck };
  // Again for the same endpoint: no difference.
  void watch(std::shared_ptr<Endpoint> endpoint, Release release = Release::kByListener);
  void unwatch(const Endpoint& endpoint);
  bool knows(const Endpoint& endpoint) const;
  // An endpoint has changed its state; saves the wait for the next beat.
  void on_endpoint_changed();

  // One round of looks. Public for tests with a clock of their own.
  void beat(TimePoint now);
  Duration interval() const { return interval_; }
  size_t size() const { return watched_.size(); }
  uint64_t probes() const { return probes_; }

 private:
  struct Watched;
  void on_beat() override;
  void on_timer(event::Timer& timer) override;
  void on_path_changed(const std::string& path) override;
  void on_probed(ConnectProbe& probe, bool connected) override;

  void step(Watched& it, TimePoint now);
  void look(Watched& it, TimePoint now);
  void on_there(Watched& it, TimePoint now);
  void on_absent(Watched& it, net::ListenerLook::Seen seen, TimePoint now);
  void doubt(Watched& it, TimePoint until, TimePoint now);
  void probe(Watched& it, ConnectProbe::Pace pace, TimePoint now);
  Duration wish_of(const Watched& it, TimePoint now) const;
  void measure(Duration cost);
  void keep_beat();

  event::Loop& loop_;
  net::ListenerSource& source_;
  std::vector<std::unique_ptr<Watched>> watched_;  // as many as the Directory has endpoints
  Duration interval_{0};
  Duration cost_{0};     // CPU of a round, smoothed
  uint64_t beats_ = 0;   // ever
  uint64_t probes_ = 0;  // the same
  net::FolderWatch folders_;
  event::Timer at_once_;  // a beat between two others
  event::Beat beat_;
};

}  // namespace sluice::upstream
