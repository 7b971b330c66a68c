// Channel: one end of a pair that carries Messages and, with each, one descriptor at most. Owns its
// socket. Sending may be done from any thread (a packet is whole or not at all), receiving from
// one. Also here: texts too long for a Message, as memory files.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "proxy/base/clock.h"
#include "proxy/base/fd.h"
#include "proxy/base/result.h"
#include "proxy/server/supervisor_protocol.h"

namespace sluice::server {

class Channel {
 public:
  static Result<std::pair<Channel, Channel>> make();
  Channel() = default;  // nobody is there
  explicit Channel(Fd fd) : fd_(std::move(fd)) {}

  enum class Sent : uint8_t { kSent, kFull, kGone };
  // Never blocks. `with` stays the caller's; the other side gets a duplicate.
  Sent try_send(const Message& message, int with = -1) const;
  // Waits a second when the other side does not read; false: it did not get it.
  bool send(const Message& message, int with = -1) const;

  enum class Got : uint8_t { kMessage, kNothing, kEnd };
  // Never blocks. What is no message of this version ends the conversation.
  Got receive(Message& into, Fd& with) const;
  // Waits for the next one.
  Got await(Message& into, Fd& with, Duration most) const;

  bool is_open() const { return fd_.is_open(); }
  int descriptor() const { return fd_.get(); }
  void close() { fd_.reset(); }
  Fd take() { return std::move(fd_); }

 private:
  Fd fd_;
};

Result<Fd> to_memory_file(std::string_view text);
Result<std::string> read_memory_file(int descriptor);

}  // namespace sluice::server
