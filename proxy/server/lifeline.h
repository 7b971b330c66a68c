// Lifeline: the serving process's tie to whoever started it: the supervisor, by a channel, or
// nobody but perhaps a service manager. It learns what it is born with, says what becomes of it,
// and hears orders. When the supervisor dies the channel ends, and that is news, too. Owned by the
// Process; control thread, but for say().
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/event/loop.h"
#include "proxy/server/channel.h"
#include "proxy/server/socket_stock.h"
#include "proxy/server/systemd.h"

namespace sluice::server {

class LifelineEvents {
 public:
  virtual void on_told_signal(int number) = 0;
  virtual void on_verdict(bool well, std::string text) = 0;
  virtual void on_retire(Channel line) = 0;
  virtual void on_predecessor(Channel line) = 0;
  virtual void on_predecessor_gone() = 0;
  virtual void on_counters(const std::string& text) = 0;
  virtual void on_told(const Message& message) = 0;
  virtual void on_supervisor_gone() = 0;

 protected:
  ~LifelineEvents() = default;
};

class Lifeline final : private event::IoEvents, private event::TimerEvents {
 public:
  explicit Lifeline(Channel supervisor) : supervisor_(std::move(supervisor)) {}

  // What a process is born with. Waits for the supervisor's words. Before any thread.
  Status learn(SocketStock& sockets);
  // From now on there is news. Requires: events outlive this.
  Status start(event::Loop& loop, LifelineEvents& events);
  // The last of them: the loop ends.
  void leave();

  // Any thread. False: nobody heard it.
  bool say(Word word, std::string_view text = {}, int64_t number = 0, int with = -1) const;
  const Channel& supervisor() const { return supervisor_; }
  bool is_supervised() const { return supervisor_.is_open(); }
  Role role() const { return role_; }
  const std::string& reason() const { return reason_; }  // of a restart
  const std::vector<Message>& told() const { return told_; }
  bool is_proven() const { return proven_; }
  int signal_pid() const;  // whom to signal

 private:
  void on_io(event::IoReady ready) override;
  void on_timer(event::Timer& timer) override;
  void hear(const Message& message, Fd with);

  Channel supervisor_;
  ServiceManager manager_;  // only when nobody supervises
  Role role_ = Role::kFirst;
  std::string reason_;
  std::vector<Message> told_;  // bounded by the supervisor's ceilings
  bool proven_ = false;  // to a process before us
  Duration watchdog_{0};
  bool gone_ = false;  // the supervisor is
  LifelineEvents* events_ = nullptr;
  std::unique_ptr<event::Timer> alive_;
  event::IoWatcher watcher_;
};

}  // namespace sluice::server
