#include "proxy/server/control_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "proxy/base/fd.h"
#include "proxy/base/text.h"
#include "proxy/net/address.h"

namespace sluice::server {
namespace {

constexpr size_t kMostAnswer = 64 * 1024 * 1024;

bool wait_for(int fd, short events, TimePoint deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_now()).count();
  pollfd state{fd, events, 0};
  return left > 0 && ::poll(&state, 1, static_cast<int>(left)) == 1;
}

Result<ControlAnswerText> parse(const std::string& raw, std::string_view where) {
  const size_t end = raw.find("\r\n\r\n");
  const auto status =
      raw.size() > 12 ? parse_decimal(std::string_view(raw).substr(9, 3)) : std::nullopt;
  if (end == std::string::npos || !status) {
    return fail(ErrorCode::kMalformed, Side::kUs, "no answer from " + std::string(where));
  }
  return ControlAnswerText{static_cast<int>(*status), raw.substr(end + 4)};
}

}  // namespace

Result<ControlAnswerText> ask(const config::Address& address, std::string_view method,
                              std::string_view path, Duration timeout) {
  const TimePoint deadline = steady_now() + timeout;
  const auto target = net::SocketAddress::from(address);
  if (!target) return tl::unexpected(target.error());
  const Fd fd(::socket(target->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return fail_errno(errno, Side::kUs, "socket");
  if (::connect(fd.get(), target->data(), target->size()) != 0 && errno != EINPROGRESS) {
    return fail_errno(errno, Side::kUs, "connect " + target->text());
  }
  if (!wait_for(fd.get(), POLLOUT, deadline)) {
    return fail(ErrorCode::kTimeout, Side::kUs, "connect " + target->text() + ": timed out");
  }
  // HTTP/1.0: the answer ends with the connection.
  const std::string request = std::string(method) + " " + std::string(path) +
                              " HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return fail_errno(errno, Side::kUs, "ask " + target->text());
  }
  std::string raw;
  char buffer[16384];
  while (raw.size() < kMostAnswer) {
    if (!wait_for(fd.get(), POLLIN, deadline)) {
      return fail(ErrorCode::kTimeout, Side::kUs, "no answer from " + target->text() + " in time");
    }
    const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return fail_errno(errno, Side::kUs, "read from " + target->text());
    if (n == 0) break;
    raw.append(buffer, static_cast<size_t>(n));
  }
  return parse(raw, target->text());
}

}  // namespace sluice::server
