// Departures: listeners that a reload dropped, each on its way out by the stages of a drain, while
// the others go on. Owned by the process, before the workers; control thread.
//
//   begin: new SYNs held, answers say close ──> emptied, as long as handshakes may be under way
//     ^ │ recall(): named again, it stays        │
//     └─┘                                        └──> workers let go ──> closed
//
// Its connections stay with the workers: idle ones are not closed first (DESIGN, law 3).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/event/timers.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/worker.h"

namespace sluice::server {

// How long connections may still come after new SYNs began to be held: two round trips, and never
// less than a scheduler may take. A handshake whose last segment is lost is not waited for.
Duration last_handshakes(Duration slowest_round_trip);

class Departures final : private event::TimerEvents {
 public:
  using Workers = std::vector<std::unique_ptr<Worker>>;

  // `on_closed` runs when a socket was closed. Requires: workers and log outlive this.
  Departures(event::Loop& loop, const Workers& workers, observe::ProcessLog& log,
             std::function<void()> on_closed);

  void begin(std::shared_ptr<ListenerShared> listener);
  // The socket of this name that can still come back; null: none.
  std::shared_ptr<ListenerShared> find(const std::string& name) const;
  // It stays. Requires: find() has just said it.
  void recall(const ListenerShared& listener);
  // Workers are letting a socket go: what its address is opened for again has to wait.
  bool is_closing() const;
  size_t count() const { return leaving_.size(); }
  const std::shared_ptr<ListenerShared>& listener(size_t index) const {
    return leaving_[index].listener;
  }

 private:
  struct Leaving {
    std::shared_ptr<ListenerShared> listener;
    TimePoint since;
    size_t holders = 0;  // workers that have not let go; 0: nobody was asked to yet
  };
  void on_timer(event::Timer& timer) override;
  void let_go(Leaving& leaving);
  void on_let_go(const ListenerShared* listener);

  event::Loop& loop_;
  const Workers& workers_;
  observe::ProcessLog& log_;
  const std::function<void()> on_closed_;
  std::vector<Leaving> leaving_;  // bounded by the listeners there were
  event::Timer beat_;
};

}  // namespace sluice::server
