// proc_net: the lines of /proc/net/tcp, tcp6 and unix, as far as listeners are concerned. For
// kernels or sandboxes without sock_diag. Pure functions, and readers of an open table; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/net/address.h"

namespace sluice::net {

struct ProcTcpRow {
  IpPort local;
  bool listens = false;
  uint32_t queued = 0;  // rx_queue of a listener: connections that wait to be accepted
};
// A line of tcp or tcp6; nullopt for the heading and what is no row.
std::optional<ProcTcpRow> parse_proc_tcp(std::string_view line);
// The listener takes connections to `asked`: the same address, or the wildcard. [::] counts for
// IPv4, too: the table does not say which are IPv6 only.
bool takes(const IpPort& listener, const IpPort& asked);

struct ProcUnixRow {
  bool listens = false;
  uint32_t inode = 0;     // of the socket
  std::string_view path;  // as it was bound; empty: unnamed
};
std::optional<ProcUnixRow> parse_proc_unix(std::string_view line);

// Search the table from its start; nullopt: no such listener. Requires: `table` is open on it.
std::optional<ProcTcpRow> find_proc_tcp(int table, const IpPort& asked);
std::optional<uint32_t> find_proc_unix(int table, std::string_view path, uint32_t inode);

}  // namespace sluice::net
