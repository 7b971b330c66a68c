#include "proxy/net/acceptor.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace sluice::net {
namespace {

constexpr int kMostPerTick = 64;  // connections accepted before the others are served
constexpr Duration kPause = std::chrono::milliseconds(100);

}  // namespace

Acceptor::Acceptor(event::Loop& loop, int listener, AcceptEvents& events)
    : loop_(loop), listener_(listener), events_(events), resume_(loop.timers(), *this) {}

Acceptor::~Acceptor() {
  stop();
}

Status Acceptor::start() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.is_open()) return fail_errno(errno, Side::kUs, "epoll");
  epoll_event interest{};
  interest.events = EPOLLIN | EPOLLEXCLUSIVE;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_, &interest) != 0) {
    return fail_errno(errno, Side::kUs, "watch listener");
  }
  return watch();
}

Status Acceptor::watch() {
  return watcher_.start_level(loop_, epoll_.get(), *this);
}

void Acceptor::stop() {
  resume_.cancel();
  watcher_.stop();
  epoll_.reset();
}

void Acceptor::on_io(event::IoReady) {
  for (int i = 0; i < kMostPerTick; ++i) {
    if (accept_one() != Outcome::kAccepted) return;
  }
}

void Acceptor::drain_queue() {
  while (accept_one() == Outcome::kAccepted) {
  }
}

Acceptor::Outcome Acceptor::accept_one() {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  Fd fd(::accept4(listener_, reinterpret_cast<sockaddr*>(&storage), &size,
                  SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd.is_open()) {
    events_.on_accepted(std::move(fd), SocketAddress::of_kernel(storage, size));
    return Outcome::kAccepted;
  }
  switch (errno) {
    case EAGAIN: return Outcome::kEmpty;
    // accept(2): the client gave up while queued, or its network did; on to the next.
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH: return Outcome::kAccepted;
    default: {
      // Out of descriptors or memory: the queue stays as it is; watching it now would only spin.
      watcher_.stop();
      resume_.arm(kPause);
      events_.on_accept_paused(error_from_errno(errno, Side::kUs, "accept"));
      return Outcome::kPaused;
    }
  }
}

void Acceptor::on_timer(event::Timer&) {
  if (!watch()) resume_.arm(kPause);
}

}  // namespace sluice::net
