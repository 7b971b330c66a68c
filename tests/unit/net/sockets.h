// Sockets of the kernel's own for the tests: pairs, loopback listeners on port 0, and a folder for
// unix paths.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <sys/socket.h>

#include <doctest/doctest.h>

#include "proxy/base/fd.h"
#include "proxy/config/values.h"
#include "proxy/net/address.h"
#include "proxy/net/listen_socket.h"

namespace sluice::testing {

inline config::Address loopback(uint16_t port = 0) {
  return {"127.0.0.1:" + std::to_string(port), false, "127.0.0.1", port};
}
inline config::Address unix_path(const std::string& path) {
  return {"unix:" + path, true, path, 0};
}

class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "sluice.XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(std::string_view name) const { return path_ / name; }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline net::ListenSocket listening(int backlog = 128) {
  return net::ListenSocket::open(loopback(), static_cast<uint32_t>(backlog)).value();
}

// Begins to connect; never waits.
inline Fd connecting(const net::SocketAddress& to) {
  Fd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  REQUIRE(fd.is_open());
  (void)::connect(fd.get(), to.data(), to.size());
  return fd;
}

inline Fd accepted(const net::ListenSocket& from) {
  return Fd(::accept4(from.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

// {ours, theirs}, both non-blocking.
inline std::pair<Fd, Fd> pair_of_sockets() {
  int both[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
  return {Fd(both[0]), Fd(both[1])};
}

// {connected, accepted} over TCP on loopback: one is there when the other is.
inline std::pair<Fd, Fd> pair_over_tcp() {
  const auto listener = listening();
  Fd here = connecting(listener.local());
  Fd there = accepted(listener);
  REQUIRE(there.is_open());
  return {std::move(here), std::move(there)};
}

// Everything that is there now.
inline std::string received(int fd) {
  std::string all;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n <= 0) return all;
    all.append(buffer, static_cast<size_t>(n));
  }
}

// The other side has sent its FIN, and nothing else is there.
inline bool has_ended(int fd) {
  char c = 0;
  return ::recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

inline void say(int fd, std::string_view bytes) {
  REQUIRE(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
}

}  // namespace sluice::testing
