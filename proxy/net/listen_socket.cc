#include "proxy/net/listen_socket.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <cerrno>

namespace sluice::net {
namespace {

// Only a refusal proves that nobody does: not a full backlog, a socket of another kind, or one that
// we may not connect to.
bool answers(const SocketAddress& address) {
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return ::connect(probe.get(), address.data(), address.size()) == 0 || errno != ECONNREFUSED;
}

void set_option(int fd, int level, int name) {
  const int one = 1;
  setsockopt(fd, level, name, &one, sizeof one);
}

}  // namespace

Result<ListenSocket> ListenSocket::open(const config::Address& wanted, uint32_t backlog) {
  auto address = SocketAddress::from(wanted);
  if (!address) return tl::unexpected(address.error());
  Fd fd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return fail_errno(errno, Side::kUs, "socket for " + wanted.text);
  if (address->is_unix()) {
    struct stat status {};
    const bool is_socket =
        ::stat(wanted.host_or_path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
    if (is_socket && !answers(*address)) ::unlink(wanted.host_or_path.c_str());
  } else {
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it
    if (address->family() == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  }
  if (::bind(fd.get(), address->data(), address->size()) != 0 ||
      ::listen(fd.get(), static_cast<int>(backlog)) != 0) {
    Error error = error_from_errno(errno, Side::kUs, "listen on " + wanted.text);
    if (errno == EADDRINUSE) error.detail += " (is another sluice running?)";
    return tl::unexpected(std::move(error));
  }
  return ListenSocket(std::move(fd));
}

Result<ListenSocket> ListenSocket::adopt(Fd fd, uint32_t backlog) {
  const SocketAddress local = SocketAddress::of_local(fd.get());
  int type = 0;
  socklen_t size = sizeof type;
  const bool known = ::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  const bool has_address =
      local.is_unix() || local.family() == AF_INET || local.family() == AF_INET6;
  if (!known || type != SOCK_STREAM || !has_address) {
    return fail(ErrorCode::kInvalid, Side::kUs, "a passed descriptor is no stream socket");
  }
  const int flags = ::fcntl(fd.get(), F_GETFL);
  ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  if (!local.is_unix()) {
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);
    // Whoever had it may have died while it held new connections.
    set_option(fd.get(), SOL_SOCKET, SO_DETACH_FILTER);
  }
  // On a listening socket this only sets the backlog; its queue stays.
  if (::listen(fd.get(), static_cast<int>(backlog)) != 0) {
    return fail_errno(errno, Side::kUs, "listen on " + local.text());
  }
  ListenSocket socket(std::move(fd));
  socket.is_adopted_ = true;
  return socket;
}

Status ListenSocket::hold_new_connections() {
  if (local().is_unix()) return {};
  // The filter sees the TCP header first: byte 13 holds the flags. SYN without ACK: drop; else
  // pass.
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0x7fffffff),
  };
  const sock_fprog program{sizeof code / sizeof code[0], code};
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return fail_errno(errno, Side::kUs, "hold new connections");
  }
  return {};
}

void ListenSocket::release_new_connections() {
  set_option(fd_.get(), SOL_SOCKET, SO_DETACH_FILTER);
}

// unix(7) sockets: connect() looks at the listener's receive side, accept() takes what is queued
// first.
void ListenSocket::refuse_new_connections() {
  if (local().is_unix()) ::shutdown(fd_.get(), SHUT_RD);
}

// listen(2) on a socket that listens already only changes the backlog.
void ListenSocket::set_backlog(uint32_t backlog) {
  ::listen(fd_.get(), static_cast<int>(backlog));
}

// tcp(7) does not say so, but accepted sockets inherit it: a call for each listener, none for each
// connection.
void ListenSocket::limit_unsent(uint32_t bytes) {
  if (local().is_unix()) return;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

void ListenSocket::close() {
  fd_.reset();
  claim_.reset();
}

}  // namespace sluice::net
