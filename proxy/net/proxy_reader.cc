#include "proxy/net/proxy_reader.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace sluice::net {
namespace {

ssize_t receive(int fd, char* into, size_t room, int flags) {
  ssize_t n = 0;
  do {
    n = ::recv(fd, into, room, flags);
  } while (n < 0 && errno == EINTR);
  return n;
}

bool is_blocked(ssize_t n) {
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::string_view reason_of(ProxyFault fault) {
  switch (fault) {
    case ProxyFault::kMissing: return "proxy_header_missing";
    case ProxyFault::kMalformed: return "proxy_header_malformed";
    case ProxyFault::kTooLong: return "proxy_header_too_long";
    case ProxyFault::kIncomplete: return "proxy_header_incomplete";
  }
  return {};
}

}  // namespace

Status ProxyReader::start(Fd fd) {
  fd_ = std::move(fd);
  timer_.arm(terms_.first_byte);
  return watcher_.start(loop_, fd_.get(), *this, event::IoWatcher::Interest::kRead);
}

void ProxyReader::close(std::string_view reason) {
  char byte = 0;
  if (state_ == State::kOver) return;
  if (state_ == State::kSilent && receive(fd_.get(), &byte, 1, MSG_PEEK) > 0) return;
  ordered_ = true;
  ordered_for_ = reason;
  timer_.arm(Duration{0});
}

void ProxyReader::on_io(event::IoReady ready) {
  if (ready.ended) ended_ = true;
  look();
}

void ProxyReader::on_timer(event::Timer&) {
  if (ordered_) return end(ProxyEnd::kOrdered, ordered_for_);
  if (state_ == State::kBegun) return end(ProxyEnd::kTooSlow, "proxy_header_timeout");
  look();  // its news may be on the way
  if (state_ == State::kSilent) end(ProxyEnd::kSilent, {});
}

// What was looked at stays in the socket: each look begins with the first byte again. An edge comes
// with each new piece, whether or not the one before was read (epoll(7)).
void ProxyReader::look() {
  if (state_ == State::kOver) return;
  char bytes[kMostProxyHeader];
  const ssize_t n = receive(fd_.get(), bytes, sizeof bytes, MSG_PEEK);
  if (is_blocked(n)) return;
  if (n <= 0 && state_ == State::kSilent) return end(ProxyEnd::kClosed, {});
  if (n <= 0) return end(ProxyEnd::kFaulty, reason_of(ProxyFault::kIncomplete));
  if (state_ == State::kSilent) {
    state_ = State::kBegun;
    if (!ordered_) timer_.arm(terms_.header);
    events_.on_proxy_begun();
  }
  judge({bytes, static_cast<size_t>(n)});
}

void ProxyReader::judge(std::string_view bytes) {
  ProxyHeader header;
  const ProxyVerdict verdict = parse_proxy_header(bytes, header);
  switch (verdict.state) {
    case ProxyVerdict::State::kMore:
      if (!ended_) return;
      // The rest will never come: as a header it is cut, as something else not ours to judge.
      return terms_.is_optional ? hand_over({}, {})
                                : end(ProxyEnd::kFaulty, reason_of(ProxyFault::kIncomplete));
    case ProxyVerdict::State::kWhole:
      return hand_over(std::move(header), bytes.substr(0, verdict.size));
    case ProxyVerdict::State::kFault:
      if (verdict.fault == ProxyFault::kMissing && terms_.is_optional) return hand_over({}, {});
      return end(ProxyEnd::kFaulty, reason_of(verdict.fault));
  }
}

void ProxyReader::hand_over(ProxyHeader&& header, std::string_view wire) {
  char taken[kMostProxyHeader];
  // They are there: they were looked at, and nobody else reads.
  if (!wire.empty() && receive(fd_.get(), taken, wire.size(), 0) <= 0) {
    return end(ProxyEnd::kFaulty, reason_of(ProxyFault::kIncomplete));
  }
  state_ = State::kOver;
  watcher_.stop();
  timer_.cancel();
  events_.on_proxy_header(std::move(fd_), std::move(header), wire);
}

void ProxyReader::end(ProxyEnd how, std::string_view reason) {
  const bool begun = state_ == State::kBegun;
  state_ = State::kOver;
  watcher_.stop();
  timer_.cancel();
  fd_.reset();
  events_.on_no_proxy_header(how, begun ? reason : std::string_view{});
}

}  // namespace sluice::net
