#include "proxy/net/dialer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "proxy/net/plain_transport.h"

namespace sluice::net {
namespace {

void set_no_delay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

}  // namespace

void Dialer::settle(State state) {
  state_ = state;
  timer_.cancel();
  soon_.schedule();
}

void Dialer::dial(const SocketAddress& address, Duration timeout) {
  state_ = State::kConnecting;
  timer_.arm(timeout);
  connect(address);
}

void Dialer::connect(const SocketAddress& address) {
  target_ = address.text();
  const auto failed = [this](Error error) {
    error_ = std::move(error);
    settle(State::kFailed);
  };
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return failed(error_from_errno(errno, Side::kUs, "socket for " + target_));
  if (!address.is_unix()) set_no_delay(fd.get());
  const bool at_once = ::connect(fd.get(), address.data(), address.size()) == 0;
  if (!at_once && errno != EINPROGRESS) {
    return failed(error_from_errno(errno, Side::kUpstream, "connect " + target_));
  }
  auto transport = PlainTransport::make(loop_, std::move(fd));
  if (!transport) return failed(transport.error());
  (*transport)->set_events(*this);
  if (at_once)
    settle(State::kConnected);
  else
    (*transport)->expect_writable();
  transport_ = std::move(*transport);
}

void Dialer::on_timer(event::Timer&) {
  error_ = {ErrorCode::kTimeout, Side::kUpstream, "connect " + target_ + ": timed out"};
  settle(State::kFailed);
}

void Dialer::check() {
  if (state_ != State::kConnecting) return;
  int number = 0;
  socklen_t size = sizeof number;
  getsockopt(transport_->descriptor(), SOL_SOCKET, SO_ERROR, &number, &size);
  if (number != 0) error_ = error_from_errno(number, Side::kUpstream, "connect " + target_);
  settle(number == 0 ? State::kConnected : State::kFailed);
}

void Dialer::on_soon() {
  if (state_ == State::kConnected) {
    state_ = State::kIdle;
    return events_.on_connected(std::move(transport_));
  }
  state_ = State::kIdle;
  transport_.reset();
  events_.on_dial_failed(error_);
}

}  // namespace sluice::net
