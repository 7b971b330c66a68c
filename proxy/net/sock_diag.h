// SockDiag: sockets of this network namespace asked for by NETLINK_SOCK_DIAG: a listening TCP one
// by its address, a connection by both, a listening unix one by its inode, without privilege and
// without reading a table. Needs nothing mounted. The kernel
// answers within the system call, so nothing is waited for. Owned by ListenerTable; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/fd.h"
#include "proxy/base/result.h"
#include "proxy/net/address.h"

namespace sluice::net {

class SockDiag {
 public:
  enum class Answer : uint8_t { kFound, kNotFound, kFailed };
  struct Row {
    uint32_t queued = 0;  // a listener's accept queue; bytes that a connection's owner has not read
    uint32_t limit = 0;
    uint32_t inode = 0;   // of the socket; 0: a connection that nobody has accepted yet
    bool is_open = true;  // of a connection: neither side has closed it
  };

  static Result<SockDiag> open();

  // A listener that would take a connection to `address`: bound to it or to the wildcard of its
  // family, IPv6 ones included that take IPv4. Of several (SO_REUSEPORT) one is shown.
  Answer find_tcp(const SocketAddress& address, Row& row);
  // The other side's end of one of our TCP connections: `theirs` is where it listens. Not found:
  // it is gone, or that address is translated on the way.
  Answer find_connection(const SocketAddress& theirs, const SocketAddress& ours, Row& row);
  // Requires: `inode` is a socket's.
  Answer find_unix(uint32_t inode, Row& row);
  // By the file it is bound to; where the file system hides that, by the path it was bound with.
  // Reads all listening unix sockets of the namespace.
  Answer search_unix(uint64_t device, uint64_t file, std::string_view path, Row& row);

 private:
  explicit SockDiag(Fd fd) : fd_(std::move(fd)) {}
  enum class Sought : uint8_t { kListener, kConnection };
  Answer ask_tcp(std::string_view request, Sought sought, Row& row);
  bool send(std::string_view request, uint16_t flags);
  ssize_t receive(char* into, size_t room);

  Fd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace sluice::net
