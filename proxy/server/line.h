// Line: this process's end of the conversation with the one before or after it in an upgrade, as
// news of the control loop. A handle: destroying it hangs up. Control thread; workers may send on
// its channel.
#pragma once

#include <utility>

#include "proxy/event/loop.h"
#include "proxy/server/channel.h"

namespace sluice::server {

class Line;

class LineEvents {
 public:
  virtual void on_line_word(Line& line, const Message& message, Fd with) = 0;
  virtual void on_line_end(Line& line) = 0;  // destroy it on a later tick

 protected:
  ~LineEvents() = default;
};

class Line final : public event::Deferred, private event::IoEvents {
 public:
  Line(Channel channel, LineEvents& events) : channel_(std::move(channel)), events_(events) {}

  Status start(event::Loop& loop) {
    return watcher_.start_level(loop, channel_.descriptor(), *this);
  }
  const Channel& channel() const { return channel_; }

 private:
  void on_io(event::IoReady) override {
    constexpr int kMostPerTick = 64;
    for (int i = 0; i < kMostPerTick && watcher_.is_started(); ++i) {
      Message message;
      Fd with;
      const Channel::Got got = channel_.receive(message, with);
      if (got == Channel::Got::kNothing) return;
      if (got == Channel::Got::kMessage) {
        events_.on_line_word(*this, message, std::move(with));
        continue;
      }
      watcher_.stop();
      events_.on_line_end(*this);
    }
  }

  const Channel channel_;
  LineEvents& events_;
  event::IoWatcher watcher_;
};

}  // namespace sluice::server
