#include "proxy/upstream/accept_line.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace sluice::upstream {
namespace {

constexpr Duration kBetweenLooks = std::chrono::milliseconds(1);
constexpr size_t kMostPerLook = 32;

// In our network namespace for certain: others' sockets the kernel would not show.
bool is_beside(const net::SocketAddress& address) {
  if (address.is_unix()) return false;
  const net::IpPort its = address.ip_port();
  return its.is_v4() && its.ip[12] == 127;
}

}  // namespace

AcceptLine::AcceptLine(event::Timers& timers, const net::SocketAddress& theirs)
    : theirs_(theirs), is_blind_(!is_beside(theirs)), timer_(timers, *this) {}

// What the kernel does not show as an established connection is not waited for: with
// TCP_DEFER_ACCEPT the application would wait for our bytes in turn.
bool AcceptLine::is_waiting(const net::SocketAddress& ours, Until until) {
  net::SockDiag::Row row;
  const auto answer = kernel_->find_connection(theirs_, ours, row);
  if (answer == net::SockDiag::Answer::kFailed) is_blind_ = true;
  if (answer != net::SockDiag::Answer::kFound) return false;
  return row.inode == 0 || (until == Until::kRead && row.queued > 0);
}

bool AcceptLine::join(AcceptWaiter& waiter, int descriptor, Until until) {
  if (is_blind_) return false;
  if (!kernel_) {
    auto opened = net::SockDiag::open();
    is_blind_ = !opened;
    if (is_blind_) return false;
    kernel_ = std::move(*opened);
  }
  const auto ours = net::SocketAddress::of_local(descriptor);
  if (!is_waiting(ours, until)) return false;
  line_.push_back({&waiter, ours, until});
  if (!timer_.is_armed()) timer_.arm(kBetweenLooks);
  return true;
}

void AcceptLine::leave(const AcceptWaiter& waiter) {
  std::erase_if(line_, [&waiter](const Place& place) { return place.waiter == &waiter; });
}

// In what follows from on_accepted() others may leave.
void AcceptLine::on_timer(event::Timer&) {
  std::vector<AcceptWaiter*> well;
  for (size_t i = 0; i < std::min(line_.size(), kMostPerLook); ++i) {
    if (is_blind_ || !is_waiting(line_[i].ours, line_[i].until)) well.push_back(line_[i].waiter);
  }
  for (AcceptWaiter* waiter : well) {
    const auto at = std::find_if(line_.begin(), line_.end(),
                                 [waiter](const Place& place) { return place.waiter == waiter; });
    if (at == line_.end()) continue;
    line_.erase(at);
    waiter->on_accepted();
  }
  if (!line_.empty() && !timer_.is_armed()) timer_.arm(kBetweenLooks);
}

}  // namespace sluice::upstream
