// MemoryTransport: a net::Transport without a socket. The test keeps the Wire, which is the other
// side: it says bytes, FIN or RST, takes what was sent, and may refuse to. Edge-triggered like the
// real one.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "proxy/net/transport.h"

namespace sluice::testing {

struct Wire {
  // How the test wants it.
  bool one_byte = false;         // each byte comes alone, with its own news
  size_t write_room = SIZE_MAX;  // bytes the "kernel" still takes
  bool fail_writes = false;      // EPIPE
  bool secure = false;

  // What happened.
  std::string sent;
  bool shut = false;    // our FIN
  bool closed = false;  // the transport was destroyed
  int reads = 0;        // as system calls
  int writes = 0;

  // -- orders of the test --
  void say(std::string_view bytes) {
    if (!one_byte) {
      queue(bytes);
      return tell();
    }
    for (const char c : bytes) {
      queue({&c, 1});
      tell();
    }
  }
  // Bytes that are there when somebody looks, before any news.
  void queue(std::string_view bytes) {
    incoming += bytes;
    readable = true;
  }
  void fin() {
    ended = true;
    readable = true;
    tell();
  }
  void rst() {
    broken = true;
    fail_writes = true;
    readable = true;
    tell();
  }
  void tell() {
    if (!closed) events->on_readable();
  }
  void unblock(size_t room = SIZE_MAX) {
    write_room = room;
    if (!write_blocked || closed) return;
    write_blocked = false;
    events->on_writable();
  }
  // What was sent since the last time.
  std::string take() {
    std::string taken;
    taken.swap(sent);
    return taken;
  }

  std::string incoming;
  bool readable = false;
  bool ended = false;
  bool broken = false;
  bool write_blocked = false;
  net::TransportEvents* events = nullptr;
};

class MemoryTransport final : public net::Transport {
 public:
  explicit MemoryTransport(Wire& wire) : wire_(wire) {}
  ~MemoryTransport() override { wire_.closed = true; }

  void set_events(net::TransportEvents& events) override { wire_.events = &events; }

  net::Io read(char* into, size_t room) override {
    if (!wire_.readable) return {};
    ++wire_.reads;
    if (wire_.incoming.empty()) {
      if (wire_.broken) return {net::Io::State::kFailed, 0, ECONNRESET};
      if (wire_.ended) return {net::Io::State::kEnd, 0, 0};
      wire_.readable = false;
      return {};
    }
    const size_t n = wire_.one_byte ? 1 : std::min(room, wire_.incoming.size());
    std::memcpy(into, wire_.incoming.data(), n);
    wire_.incoming.erase(0, n);
    const bool more = wire_.one_byte && !wire_.incoming.empty();
    wire_.readable = n == room || more || wire_.ended || wire_.broken;
    return {net::Io::State::kOk, n, 0};
  }

  net::Io write(Chain& bytes) override {
    ++wire_.writes;
    if (wire_.fail_writes) return {net::Io::State::kFailed, 0, EPIPE};
    size_t count = 0;
    while (!bytes.empty() && wire_.write_room > 0) {
      const Chain::Piece& piece = bytes.front();
      const auto n = static_cast<size_t>(std::min<uint64_t>(piece.size, wire_.write_room));
      if (piece.is_file()) {
        std::string text(n, '\0');
        const auto got =
            ::pread(piece.file->get(), text.data(), n, static_cast<off_t>(piece.offset));
        if (got != static_cast<ssize_t>(n)) return {net::Io::State::kFailed, count, EIO};
        wire_.sent += text;
      } else {
        wire_.sent += piece.view().substr(0, n);
      }
      bytes.drop_front(n);
      wire_.write_room -= n;
      count += n;
    }
    wire_.write_blocked = !bytes.empty();
    return {wire_.write_blocked ? net::Io::State::kBlocked : net::Io::State::kOk, count, 0};
  }

  void shutdown_write() override { wire_.shut = true; }
  bool may_be_readable() const override { return wire_.readable; }
  int descriptor() const override { return -1; }
  bool is_reset() override { return wire_.broken; }
  bool is_secure() const override { return wire_.secure; }

 private:
  Wire& wire_;
};

}  // namespace sluice::testing
