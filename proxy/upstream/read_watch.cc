#include "proxy/upstream/read_watch.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace sluice::upstream {
namespace {

constexpr Duration kBetweenLooks = std::chrono::milliseconds(1);
// Where many wait they are in the application's accept queue, and the oldest are the next to be
// read; a few of the others are looked at by turns, for queues are not always one.
constexpr size_t kOldest = 6;
constexpr size_t kByTurns = 2;

// In our network namespace for certain: others' sockets the kernel would not show.
bool is_beside(const net::SocketAddress& address) {
  if (address.is_unix()) return true;
  const net::IpPort its = address.ip_port();
  if (its.is_v4()) return its.ip[12] == 127;
  constexpr decltype(its.ip) kLoopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return its.ip == kLoopback;
}

bool is_unread_unix(int descriptor) {
  int unread = 0;
  return ::ioctl(descriptor, SIOCOUTQ, &unread) == 0 && unread > 0;
}

bool is_established(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         info.tcpi_state == TCP_ESTABLISHED;
}

}  // namespace

ReadWatch::ReadWatch(event::Timers& timers, const net::SocketAddress& theirs)
    : theirs_(theirs), is_blind_(!is_beside(theirs)), timer_(timers, *this) {}

// A connection that its other end has closed stays unread: news of its end is on the way to whoever
// waits. An end that is not shown was closed, too, unless it never was shown: then the address is
// translated on the way.
bool ReadWatch::is_unread_tcp(const Place& place, bool first_look) {
  net::SockDiag::Row row;
  switch (kernel_->find_connection(theirs_, place.ours, row)) {
    case net::SockDiag::Answer::kFailed: is_blind_ = true; return false;
    case net::SockDiag::Answer::kNotFound: return !first_look || !is_established(place.descriptor);
    case net::SockDiag::Answer::kFound: break;
  }
  return !row.is_open || row.inode == 0 || row.queued > 0;
}

bool ReadWatch::is_unread(const Place& place, bool first_look) {
  if (is_blind_) return false;
  return theirs_.is_unix() ? is_unread_unix(place.descriptor) : is_unread_tcp(place, first_look);
}

bool ReadWatch::join(ReadWaiter& waiter, int descriptor) {
  if (is_blind_) return false;
  if (!kernel_ && !theirs_.is_unix()) {
    auto opened = net::SockDiag::open();
    is_blind_ = !opened;
    if (is_blind_) return false;
    kernel_ = std::move(*opened);
  }
  const Place place{&waiter, descriptor, net::SocketAddress::of_local(descriptor)};
  if (!is_unread(place, true)) return false;
  line_.push_back(place);
  if (!timer_.is_armed()) timer_.arm(kBetweenLooks);
  return true;
}

void ReadWatch::leave(const ReadWaiter& waiter) {
  std::erase_if(line_, [&waiter](const Place& place) { return place.waiter == &waiter; });
}

// In what follows from on_read() others may leave.
void ReadWatch::on_timer(event::Timer&) {
  std::vector<ReadWaiter*> well;
  const size_t looks = std::min(line_.size(), kOldest + kByTurns);
  for (size_t i = 0; i < looks; ++i) {
    if (i >= kOldest && (next_ < kOldest || next_ >= line_.size())) next_ = kOldest;
    const Place& place = line_[i < kOldest ? i : next_++];
    if (!is_unread(place, false)) well.push_back(place.waiter);
  }
  for (ReadWaiter* waiter : well) {
    const auto at = std::find_if(line_.begin(), line_.end(),
                                 [waiter](const Place& place) { return place.waiter == waiter; });
    if (at == line_.end()) continue;
    line_.erase(at);
    waiter->on_read();
  }
  if (!line_.empty() && !timer_.is_armed()) timer_.arm(kBetweenLooks);
}

}  // namespace sluice::upstream
