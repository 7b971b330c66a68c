#include "proxy/net/plain_transport.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace sluice::net {
namespace {

constexpr size_t kMostPieces = 64;               // per writev
constexpr uint64_t kMostSendfile = 1024 * 1024;  // per call: fairness between connections

// Through syscall(): libc's own are cancellation points, which costs each call two atomic
// operations in a process of several threads.
ssize_t receive(int fd, char* into, size_t room) {
  return ::syscall(SYS_recvfrom, fd, into, room, 0, nullptr, nullptr);
}

ssize_t send(int fd, iovec* pieces, size_t count, int flags) {
  if (count == 1) {
    return ::syscall(SYS_sendto, fd, pieces->iov_base, pieces->iov_len, flags, nullptr, 0);
  }
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  return ::syscall(SYS_sendmsg, fd, &message, flags);
}

Io io_failed(int number) {
  if (number == EAGAIN || number == EWOULDBLOCK) return {Io::State::kBlocked, 0, 0};
  return {Io::State::kFailed, 0, number};
}

}  // namespace

Result<std::unique_ptr<PlainTransport>> PlainTransport::make(event::Loop& loop, Fd fd) {
  auto transport = std::unique_ptr<PlainTransport>(new PlainTransport(std::move(fd)));
  auto watched = transport->watcher_.start(loop, transport->fd_.get(), *transport);
  if (!watched) return tl::unexpected(watched.error());
  return transport;
}

void PlainTransport::on_io(event::IoReady ready) {
  // One notice may carry both; the handler of the first may end the connection, but never deletes
  // it within this tick (http/connection.h).
  const bool was_blocked = write_blocked_ && ready.writable;
  if (was_blocked) write_blocked_ = false;
  if (ready.ended) ended_ = true;
  // libevent tells EPOLLERR as readable and writable, which is also what bytes look like: bytes and
  // the RST behind them may be one notice, and there will be no other.
  doubted_ = ready.readable && ready.writable;
  if (ready.readable || ready.ended) {
    unread_ = Unread::kSome;
    events_->on_readable();
  }
  if (was_blocked) events_->on_writable();
}

Io PlainTransport::read(char* into, size_t room) {
  if (unread_ == Unread::kNone) return {Io::State::kBlocked, 0, 0};
  ssize_t n = 0;
  do {
    n = receive(fd_.get(), into, room);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    const auto count = static_cast<size_t>(n);
    if (count < room && !ended_) unread_ = doubted_ ? Unread::kDoubtful : Unread::kNone;
    return {Io::State::kOk, count, 0};
  }
  if (n == 0) return {Io::State::kEnd, 0, 0};
  const Io failed = io_failed(errno);
  unread_ = failed.state == Io::State::kFailed ? Unread::kSome : Unread::kNone;
  return failed;
}

Io PlainTransport::write_memory(Chain& bytes) {
  iovec pieces[kMostPieces];
  size_t count = 0;
  size_t total = 0;
  bool file_next = false;
  for (size_t i = 0; i < bytes.piece_count() && count < kMostPieces; ++i) {
    const Chain::Piece& piece = bytes.piece(i);
    if (piece.is_file()) {
      file_next = true;
      break;
    }
    pieces[count++] = iovec{const_cast<char*>(piece.data), static_cast<size_t>(piece.size)};
    total += static_cast<size_t>(piece.size);
  }
  ssize_t n = 0;
  do {
    n = send(fd_.get(), pieces, count, MSG_NOSIGNAL | (file_next ? MSG_MORE : 0));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return io_failed(errno);
  const auto sent = static_cast<size_t>(n);
  bytes.drop_front(sent);
  return {sent == total ? Io::State::kOk : Io::State::kBlocked, sent, 0};
}

Io PlainTransport::write_file(Chain& bytes) {
  const Chain::Piece& piece = bytes.front();
  const auto want = static_cast<size_t>(std::min(piece.size, kMostSendfile));
  auto offset = static_cast<off_t>(piece.offset);
  ssize_t n = 0;
  do {
    n = ::sendfile(fd_.get(), piece.file->get(), &offset, want);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return io_failed(errno);
  // The file is shorter than it was when its length was announced: the message cannot be completed.
  if (n == 0) return {Io::State::kFailed, 0, EIO};
  bytes.drop_front(static_cast<uint64_t>(n));
  return {Io::State::kOk, static_cast<size_t>(n), 0};
}

Io PlainTransport::write(Chain& bytes) {
  Io total{Io::State::kOk, 0, 0};
  while (!bytes.empty()) {
    const Io io = bytes.starts_with_file() ? write_file(bytes) : write_memory(bytes);
    total.count += io.count;
    if (io.state == Io::State::kOk) continue;
    total.state = io.state;
    total.error_number = io.error_number;
    write_blocked_ = io.state == Io::State::kBlocked;
    break;
  }
  return total;
}

bool PlainTransport::is_reset() {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
}

void PlainTransport::shutdown_write() {
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace sluice::net
