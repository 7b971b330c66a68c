#include "proxy/net/listener_table.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "proxy/net/proc_net.h"

namespace sluice::net {
namespace {

using Seen = ListenerLook::Seen;

constexpr Duration kInterfacesKeep = std::chrono::seconds(30);

Fd open_table(const char* path) {
  return Fd(::open(path, O_RDONLY | O_CLOEXEC));
}

// A listening socket of ours on the loopback, of either family.
Fd own_listener(const char* text) {
  const auto address = SocketAddress::from({text, false, text, 0});
  if (!address) return Fd{};
  Fd fd(::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool listens = fd.is_open() && ::bind(fd.get(), address->data(), address->size()) == 0 &&
                       ::listen(fd.get(), 1) == 0;
  return listens ? std::move(fd) : Fd{};
}

uint32_t inode_of(int descriptor) {
  struct stat about {};
  return ::fstat(descriptor, &about) == 0 ? static_cast<uint32_t>(about.st_ino) : 0;
}

bool is_loopback(const IpPort& at) {
  if (at.is_v4()) return at.ip[12] == 127;
  IpPort one;
  one.ip[15] = 1;
  return at.ip == one.ip;
}

// To connect to the wildcard is to connect to the loopback.
bool is_wildcard(const IpPort& at) {
  const auto from = at.ip.begin() + (at.is_v4() ? 12 : 0);
  return std::all_of(from, at.ip.end(), [](uint8_t byte) { return byte == 0; });
}

SocketAddress as_dialled(const SocketAddress& address) {
  const IpPort at = address.ip_port();
  if (!is_wildcard(at)) return address;
  const std::string loopback = at.is_v4() ? "127.0.0.1" : "::1";
  return SocketAddress::from({loopback, false, loopback, at.port}).value_or(address);
}

std::string path_of(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_un*>(address.data())->sun_path;
}

ListenerLook there(const SockDiag::Row& row) {
  return {Seen::kThere, row.queued, row.limit};
}

}  // namespace

ListenerTable::ListenerTable() {
  if (auto diag = SockDiag::open()) diag_.emplace(std::move(*diag));
  test_tcp();
  test_unix();
}

void ListenerTable::test_tcp() {
  Fd own = own_listener("127.0.0.1");
  if (!own.is_open()) own = own_listener("::1");
  if (!own.is_open()) return;
  const SocketAddress address = SocketAddress::of_local(own.get());
  const Source sources[] = {Source::kDiag, Source::kProc};
  for (const Source source : sources) {
    if (source == Source::kDiag && !diag_) continue;
    tcp_ = source;
    if (look(address).seen == Seen::kThere) break;
    tcp_ = Source::kNone;
  }
  // It must be able to say no as well.
  own.reset();
  if (tcp_ != Source::kNone && look(address).seen != Seen::kAbsent) tcp_ = Source::kNone;
}

void ListenerTable::test_unix() {
  Fd own(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un any{};  // with the family alone the kernel chooses an abstract name
  any.sun_family = AF_UNIX;
  const bool listens =
      own.is_open() &&
      ::bind(own.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any.sun_family) == 0 &&
      ::listen(own.get(), 1) == 0;
  if (!listens) return;
  const uint32_t inode = inode_of(own.get());
  SockDiag::Row row;
  if (diag_ && diag_->find_unix(inode, row) == SockDiag::Answer::kFound) {
    unix_ = Source::kDiag;
    return;
  }
  const Fd table = open_table("/proc/net/unix");
  if (table.is_open() && find_proc_unix(table.get(), {}, inode)) unix_ = Source::kProc;
}

void ListenerTable::prefer_proc() {
  diag_.reset();
  tcp_ = unix_ = Source::kNone;
  test_tcp();
  test_unix();
}

// ---- who can be looked at ----

bool ListenerTable::can_look_at(const SocketAddress& address) {
  if (address.is_unix()) return unix_ != Source::kNone;
  return tcp_ != Source::kNone && is_own_tcp(address);
}

bool ListenerTable::is_own_tcp(const SocketAddress& address) {
  const IpPort asked = address.ip_port();
  if (is_loopback(asked) || is_wildcard(asked)) return true;
  const TimePoint now = steady_now();
  if (interfaces_.empty() || now - interfaces_read_ > kInterfacesKeep) {
    interfaces_read_ = now;
    interfaces_.clear();
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return false;
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
      if (one->ifa_addr == nullptr) continue;
      const int family = one->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      const size_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      sockaddr_storage storage{};
      std::memcpy(&storage, one->ifa_addr, size);
      const auto known = SocketAddress::of_kernel(storage, static_cast<socklen_t>(size));
      interfaces_.push_back(known.ip_port());
    }
    ::freeifaddrs(all);
  }
  return std::any_of(interfaces_.begin(), interfaces_.end(),
                     [&asked](const IpPort& own) { return own.ip == asked.ip; });
}

// ---- looking ----

ListenerLook ListenerTable::look(const SocketAddress& address) {
  return address.is_unix() ? look_unix(address) : look_tcp(as_dialled(address));
}

void ListenerTable::forget(const SocketAddress& address) {
  if (address.is_unix()) found_.erase(path_of(address));
}

ListenerLook ListenerTable::look_tcp(const SocketAddress& address) {
  if (tcp_ == Source::kProc) return look_proc(address);
  if (tcp_ == Source::kNone) return {};
  SockDiag::Row row;
  switch (diag_->find_tcp(address, row)) {
    case SockDiag::Answer::kFound: return there(row);
    case SockDiag::Answer::kNotFound: return {Seen::kAbsent, 0, {}};
    case SockDiag::Answer::kFailed: break;
  }
  return {};
}

ListenerLook ListenerTable::look_proc(const SocketAddress& address) {
  if (!proc_tcp_.is_open()) proc_tcp_ = open_table("/proc/net/tcp");
  if (!proc_tcp6_.is_open()) proc_tcp6_ = open_table("/proc/net/tcp6");
  const IpPort asked = address.ip_port();
  if (!proc_tcp_.is_open() && !proc_tcp6_.is_open()) return {};
  for (const Fd* table : {&proc_tcp_, &proc_tcp6_}) {
    if (!table->is_open()) continue;
    // The table does not say what listen() was told.
    if (const auto row = find_proc_tcp(table->get(), asked)) {
      return {Seen::kThere, row->queued, {}};
    }
  }
  return {Seen::kAbsent, 0, {}};
}

ListenerLook ListenerTable::look_unix(const SocketAddress& address) {
  const std::string path = path_of(address);
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) {
    const bool is_gone = errno == ENOENT || errno == ENOTDIR;
    found_.erase(path);
    return {is_gone ? Seen::kAbsent : Seen::kUnknown, 0, {}};
  }
  if (!S_ISSOCK(about.st_mode)) return {Seen::kAbsent, 0, {}};
  if (unix_ == Source::kProc) {
    const Fd table = open_table("/proc/net/unix");
    const bool listens = table.is_open() && find_proc_unix(table.get(), path, 0).has_value();
    return {listens ? Seen::kThere : Seen::kUnknown, 0, {}};
  }
  if (unix_ == Source::kNone) return {};
  Found& found = found_[path];
  // The kernel's own way to write a device: 12 bits and 20.
  const Found now{uint64_t{major(about.st_dev)} << 20 | minor(about.st_dev), about.st_ino,
                  about.st_ctim.tv_sec * 1'000'000'000 + about.st_ctim.tv_nsec, 0};
  const bool is_same =
      now.device == found.device && now.file == found.file && now.changed == found.changed;
  if (!is_same) found = now;
  return look_up_unix(path, found);
}

ListenerLook ListenerTable::look_up_unix(const std::string& path, Found& found) {
  SockDiag::Row row;
  if (found.socket != 0) {
    if (diag_->find_unix(found.socket, row) == SockDiag::Answer::kFound) return there(row);
    found.socket = 0;
  }
  if (diag_->search_unix(found.device, found.file, path, row) != SockDiag::Answer::kFound) {
    return {};
  }
  found.socket = row.inode;
  return there(row);
}

}  // namespace sluice::net
