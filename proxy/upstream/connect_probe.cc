#include "proxy/upstream/connect_probe.h"

#include <algorithm>

namespace sluice::upstream {
namespace {

using namespace std::chrono_literals;

constexpr Duration kFirstWait = 5ms;
constexpr Duration kMostWait = 50ms;  // while requests may still be held for it
constexpr Duration kEagerFor = 10s;
constexpr Duration kMostWaitLater = 1s;
constexpr Duration kConnect = 1s;  // a SYN and its first repetition

}  // namespace

void ConnectProbe::begin(Pace pace, TimePoint now) {
  if (is_begun_ && pace == pace_) return;
  is_begun_ = true;
  pace_ = pace;
  began_ = now;
  wait_ = pace == Pace::kEager ? kFirstWait : kMostWaitLater;
  next_ = now + wait_;
}

void ConnectProbe::dial(TimePoint now) {
  is_dialling_ = true;
  const Duration most = now - began_ < kEagerFor ? kMostWait : kMostWaitLater;
  wait_ = pace_ == Pace::kEager ? std::min(wait_ * 2, most) : kMostWaitLater;
  next_ = now + wait_;
  dialer_.dial(endpoint_.address(), kConnect);
}

void ConnectProbe::on_connected(std::unique_ptr<net::Transport> transport) {
  is_dialling_ = false;
  transport.reset();  // an orderly end: nothing was sent, nothing is unread
  events_.on_probed(*this, true);
}

void ConnectProbe::on_dial_failed(const Error& error) {
  is_dialling_ = false;
  // A unix socket whose backlog is full has a listener.
  events_.on_probed(*this, error.code == ErrorCode::kWouldBlock);
}

}  // namespace sluice::upstream
