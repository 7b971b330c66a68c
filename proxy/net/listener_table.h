// ListenerTable: is there a listener at this address, and how full is its accept queue? Asks the
// kernel's tables of this network namespace and never the listener itself, so that an application
// sees nothing of it. Owned by whoever watches; one thread; a look takes microseconds.
//
// What works here is found out at birth, with listening sockets of our own: sock_diag (one lookup,
// any number of sockets beside it), else /proc/net. Unprivileged, both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/fd.h"
#include "proxy/net/address.h"
#include "proxy/net/sock_diag.h"

namespace sluice::net {

struct ListenerLook {
  enum class Seen : uint8_t {
    kThere,
    kAbsent,   // the table can be relied on, and it is not there
    kUnknown,  // nothing is found, which proves nothing: it may live in another namespace
  };
  Seen seen = Seen::kUnknown;
  uint32_t queued = 0;            // connections that wait to be accepted
  std::optional<uint32_t> limit;  // what listen() was told

  // The kernel's own test (sk_acceptq_is_full, unix_recvq_full): at the limit one more still fits.
  bool is_full() const { return limit && queued > *limit; }
};

class ListenerSource {
 public:
  // An address of this namespace, of a kind that can be looked up here.
  virtual bool can_look_at(const SocketAddress& address) = 0;
  // Requires: can_look_at().
  virtual ListenerLook look(const SocketAddress& address) = 0;
  // It will not be asked for any more.
  virtual void forget(const SocketAddress& address) = 0;

 protected:
  ~ListenerSource() = default;
};

class ListenerTable final : public ListenerSource {
 public:
  enum class Source : uint8_t { kNone, kDiag, kProc };

  ListenerTable();

  bool can_look_at(const SocketAddress& address) override;
  ListenerLook look(const SocketAddress& address) override;
  void forget(const SocketAddress& address) override;

  Source tcp_source() const { return tcp_; }
  Source unix_source() const { return unix_; }
  // For tests of the poorer sources; where they do not work, they stay kNone.
  void prefer_proc();

 private:
  // A unix listener as it was last found: the file, and the socket behind it.
  struct Found {
    uint64_t device = 0;
    uint64_t file = 0;
    int64_t changed = 0;  // of the file, in ns: numbers of inodes come back
    uint32_t socket = 0;
  };

  void test_tcp();
  void test_unix();
  bool is_own_tcp(const SocketAddress& address);
  ListenerLook look_tcp(const SocketAddress& address);
  ListenerLook look_unix(const SocketAddress& address);
  ListenerLook look_up_unix(const std::string& path, Found& found);
  ListenerLook look_proc(const SocketAddress& address);

  std::optional<SockDiag> diag_;
  Source tcp_ = Source::kNone;
  Source unix_ = Source::kNone;
  std::vector<IpPort> interfaces_;  // this namespace's addresses
  TimePoint interfaces_read_{};
  std::unordered_map<std::string, Found> found_;  // by path; bounded by who asks, see forget()
  Fd proc_tcp_;
  Fd proc_tcp6_;
};

}  // namespace sluice::net
