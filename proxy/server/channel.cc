#include "proxy/server/channel.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

namespace sluice::server {
namespace {

constexpr Duration kPatience = std::chrono::seconds(1);
constexpr off_t kMostText = 64 * 1024 * 1024;

bool wait_for(int fd, short events, Duration most) {
  pollfd state{fd, events, 0};
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(most).count();
  return ::poll(&state, 1, static_cast<int>(ms)) == 1;
}

union Control {
  char bytes[CMSG_SPACE(sizeof(int))];
  cmsghdr aligned;
};

}  // namespace

Result<std::pair<Channel, Channel>> Channel::make() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno(errno, Side::kUs, "socketpair");
  }
  return std::pair{Channel(Fd(ends[0])), Channel(Fd(ends[1]))};
}

Channel::Sent Channel::try_send(const Message& message, int with) const {
  Message copy = message;
  iovec piece{&copy, sizeof copy};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  Control control{};
  if (with >= 0) {
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof control.bytes;
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &with, sizeof with);
  }
  for (;;) {
    if (::sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return Sent::kSent;
    if (errno == EINTR) continue;
    // unix(7): ETOOMANYREFS, more descriptors in flight than the limit of open files.
    const bool is_full = errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS;
    return is_full ? Sent::kFull : Sent::kGone;
  }
}

bool Channel::send(const Message& message, int with) const {
  const TimePoint deadline = steady_now() + kPatience;
  for (;;) {
    const Sent sent = try_send(message, with);
    if (sent != Sent::kFull) return sent == Sent::kSent;
    const Duration left = deadline - steady_now();
    if (left <= Duration{0} || !wait_for(fd_.get(), POLLOUT, left)) return false;
  }
}

Channel::Got Channel::receive(Message& into, Fd& with) const {
  with.reset();
  iovec piece{&into, sizeof into};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  Control control{};
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  ssize_t size = 0;
  do {
    size = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // unix(7): ECONNRESET says once that the other side closed with words of ours unread. What it
    // said before is still in the queue.
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
  if (size < 0) return errno == EAGAIN ? Got::kNothing : Got::kEnd;
  const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(rights), sizeof number);
    with = Fd(number);
  }
  const bool is_ours = size == sizeof into && into.version == kProtocolVersion;
  return is_ours ? Got::kMessage : Got::kEnd;
}

Channel::Got Channel::await(Message& into, Fd& with, Duration most) const {
  const TimePoint deadline = steady_now() + most;
  for (;;) {
    const Got got = receive(into, with);
    if (got != Got::kNothing) return got;
    const Duration left = deadline - steady_now();
    if (left <= Duration{0}) return Got::kNothing;
    wait_for(fd_.get(), POLLIN, left);
  }
}

Result<Fd> to_memory_file(std::string_view text) {
  Fd file(::memfd_create("sluice-text", MFD_CLOEXEC));
  if (!file.is_open()) return fail_errno(errno, Side::kUs, "memory file");
  while (!text.empty()) {
    const ssize_t n = ::write(file.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno(errno, Side::kUs, "write memory file");
    text.remove_prefix(static_cast<size_t>(n));
  }
  return file;
}

Result<std::string> read_memory_file(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return fail_errno(errno, Side::kUs, "memory file");
  if (status.st_size > kMostText) {
    return fail(ErrorCode::kTooLarge, Side::kUs, "memory file too large");
  }
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t at = 0;
  while (at < text.size()) {
    const ssize_t n =
        ::pread(descriptor, text.data() + at, text.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno(errno, Side::kUs, "read memory file");
    at += static_cast<size_t>(n);
  }
  return text;
}

}  // namespace sluice::server
