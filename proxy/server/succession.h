// Succession: an upgrade as the serving processes see it, the one that comes and the one that goes.
// Owned by the Process; control thread.
//
//   kServing ── kRetire ──> kNaming ── listeners named ──> kRetiring ── nothing left ──> kOver
//      (a successor serves)  (the successor says which      (idle connections go to it,
//                             listeners it has)              running requests end here)
//
// The one that comes accepts at once, but answers metrics and orders only when it knows what its
// predecessor has counted. It adopts connections for as long as there are predecessors, and does
// not end before them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/observe/metrics.h"
#include "proxy/observe/process_log.h"
#include "proxy/server/control_plane.h"
#include "proxy/server/later.h"
#include "proxy/server/lifeline.h"
#include "proxy/server/line.h"
#include "proxy/server/listener_set.h"

namespace sluice::server {

class SuccessionOwner {
 public:
  virtual void on_order(int signal) = 0;  // the supervisor was signalled
  virtual void on_orphaned() = 0;         // the supervisor is gone: end
  virtual void on_succeeded() = 0;        // nothing is left here: end now
  virtual Duration drain_deadline() const = 0;
  // Over which tunnels are ended before that.
  virtual Duration tunnel_budget() const = 0;

 protected:
  ~SuccessionOwner() = default;
};

class Succession final : private LifelineEvents, private LineEvents, private event::TimerEvents {
 public:
  // What it works with; all outlive it.
  struct House {
    event::Loop& loop;
    observe::ProcessLog& log;
    observe::Metrics& metrics;
    ListenerSet& listeners;
    ControlPlane& controls;
    const std::vector<std::unique_ptr<Worker>>& workers;
    const ConnectionBudget& connections;
  };
  Succession(Lifeline& lifeline, SocketStock& sockets, const House& house, SuccessionOwner& owner);
  ~Succession();

  Status start();
  // Every worker accepts.
  void on_accepting(const std::string& status);
  // A new binary is to take over; the verdict comes when it has, or has not.
  using Verdict = std::function<void(bool well, std::string text)>;
  void upgrade(const Verdict& verdict);
  bool is_retiring() const { return stage_ != Stage::kServing; }
  // Told to stop while retiring: who is left has the time a drain gives.
  void hurry();
  // The workers have ended: what was counted since the successor was last told.
  void say_last();

 private:
  enum class Stage : uint8_t { kServing, kNaming, kRetiring, kOver };

  // -- from the supervisor --
  void on_told_signal(int number) override { owner_.on_order(number); }
  void on_verdict(bool well, std::string text) override;
  void on_retire(Channel line) override;
  void on_predecessor(Channel line) override;
  void on_predecessor_gone() override;
  void on_counters(const std::string& text) override;
  void on_told(const Message& message) override;
  void on_supervisor_gone() override;

  // -- between the processes --
  void on_line_word(Line& line, const Message& message, Fd with) override;
  void on_line_end(Line& line) override;
  void adopt(const Message& message, Fd with);
  void let_go();
  void order_workers();
  void on_let_go();
  void on_timer(event::Timer& timer) override;
  void give_counters(const std::string& text);
  void answer();

  static constexpr size_t kMostPredecessors = 8;  // the supervisor keeps no more

  Lifeline& lifeline_;
  SocketStock& sockets_;
  const House house_;
  SuccessionOwner& owner_;
  Stage stage_ = Stage::kServing;
  Verdict asker_;                                         // of an upgrade under way
  size_t turn_ = 0;                                       // whose worker adopts next
  std::vector<std::string> named_;                        // the successor's listeners
  std::vector<std::shared_ptr<ListenerShared>> dropped_;  // which it has not
  size_t still_accepting_ = 0;                            // workers that have not let go yet
  TimePoint deadline_ = TimePoint::max();
  bool ends_tunnels_ = false;
  TimePoint told_counters_{};
  std::unique_ptr<Line> successor_;
  std::vector<std::unique_ptr<Line>> predecessors_;  // bounded by kMostPredecessors
  std::unique_ptr<Later> patience_;                  // for a predecessor that says no counters
  std::unique_ptr<Later> last_handshakes_;
  event::Timer beat_;
};

}  // namespace sluice::server
