// Supervisor: the process that was started (PID 1 in a container): it forks the serving process
// before anything is opened, holds a duplicate of every listening socket, starts it anew after a
// crash, runs upgrades, passes signals on, and reaps whoever ends. It never sees a request. One
// thread, poll and a signalfd; no loop of libevent, no log thread: what it says goes to stderr.
//
//   a serving process   ends with 0            the supervisor ends with 0 (a drain was over)
//                       fails at first start   the same exit code
//                       crashes                the next one, at once; then 50 ms, 100 ms ... 5 s
//   an upgrade          new one accepts        the old one retires; both live until it is empty
//                       new one fails          nothing has changed
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/observe/flight_ledger.h"
#include "proxy/server/child.h"
#include "proxy/server/systemd.h"

namespace sluice::server {

struct SupervisorOptions {
  std::vector<std::string> command;  // for the next binary: how we were started
  std::string binary;                // its path; a replaced file there is the new version
  Duration upgrade_timeout = std::chrono::seconds(30);
};

// The path this program was started by, made absolute; links stay as they are.
std::string path_of_program(const char* first_word);

class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options) : options_(std::move(options)) {}

  // Comes back in the supervisor with the exit code, and in each forked child with its channel: it
  // destroys the supervisor and serves. Requires: no thread yet, nothing open.
  struct Return {
    std::optional<int> exit_code;
    Channel channel;
  };
  Return run();

 private:
  struct Socket {
    std::string name;
    Fd fd;
  };
  enum class How : uint8_t { kFork, kExec };

  // -- children (supervisor_children.cc) --
  bool spawn(Child::State state, How how, const std::string& reason);
  [[noreturn]] void execute(Channel channel);
  void welcome(Child& child, const std::string& reason);
  void read(Child& child);
  void hear(Child& child, const Message& message, Fd with);
  void keep_socket(std::string name, Fd fd);
  void forget_socket(std::string_view name);
  Child* find(Child::State state);

  // -- what happens --
  bool start_signals();
  void wait();
  void on_signals();
  void on_signal(int number);
  void reap();
  void on_end(std::unique_ptr<Child> child, int status);
  void on_crash(const Child& child, int status);
  void count_lost(const Child& child);
  bool restart_if_due();
  bool is_over();

  // -- upgrade (supervisor_upgrade.cc) --
  void begin_upgrade(bool asked);
  void on_accepting(Child& child, const Message& message);
  void hand_over(Child& old, Child& next);
  void end_upgrade(bool well, const std::string& text);
  void check_upgrade();

  void tell(const Message& message);  // whoever serves, or is about to
  std::vector<Message> told() const;
  void log(std::string_view level, const std::string& text) const;

  static constexpr size_t kMostChildren = 8;  // retiring ones included
  static constexpr size_t kMostSockets = 256;
  static constexpr size_t kMostReasons = 64;

  const SupervisorOptions options_;
  ServiceManager manager_;
  Fd signals_;
  std::vector<std::unique_ptr<Child>> children_;  // bounded by kMostChildren
  std::vector<Socket> sockets_;                   // bounded by kMostSockets
  Channel newborn_;                               // in a forked child: its end
  Fd binary_;       // what serves since an upgrade; not open: the program we are
  Fd next_binary_;  // of the upgrade under way
  bool has_served_ = false;
  bool proven_ = false;           // kProven
  bool cut_ = false;              // a retiring process did not end well while we stopped
  bool stopping_ = false;         // told to end
  std::optional<int> exit_code_;  // the serving process ended for good
  std::optional<TimePoint> restart_at_;
  std::string restart_reason_;
  Duration pause_{0};  // before the next restart
  std::optional<TimePoint> upgrade_until_;
  // What a new serving process is told, so that these counters never fall.
  std::map<std::string, int64_t> restarts_;  // by reason; bounded by kMostReasons
  int64_t upgrades_ = 0;
  int64_t failed_upgrades_ = 0;
  observe::FlightLedger::Lost lost_;  // in crashes
};

}  // namespace sluice::server
