#include "proxy/server/handshake.h"

#include <utility>

namespace sluice::server {
namespace {

constexpr Duration kPartingTime = std::chrono::seconds(1);  // for the client to read the alert
constexpr int kMostDiscarded = 8;  // reads of a block while it does, a tick

}  // namespace

bool Handshake::start(Fd fd, std::shared_ptr<const net::TlsContext> context, Duration limit) {
  auto made = net::TlsTransport::accept(loop_, std::move(fd), std::move(context));
  if (!made) return false;
  transport_ = std::move(*made);
  net::TransportEvents& news = *this;
  transport_->set_events(news);
  timer_.arm(limit);
  return true;
}

void Handshake::close() {
  if (phase_ != Phase::kShaking && phase_ != Phase::kParting) return;
  if (phase_ == Phase::kShaking) phase_ = Phase::kClosing;
  timer_.arm(Duration{0});
}

void Handshake::on_readable() {
  if (phase_ == Phase::kShaking) return advance();
  if (phase_ == Phase::kParting) part();
}

void Handshake::on_writable() {
  if (phase_ == Phase::kShaking) advance();
}

void Handshake::on_timer(event::Timer&) {
  switch (phase_) {
    case Phase::kShaking:
      return decide(transport_->has_begun() ? Verdict::kTimeout : Verdict::kLeft);
    case Phase::kClosing: return decide(Verdict::kClosed);
    case Phase::kParting: phase_ = Phase::kOver; return events_.on_parted();
    case Phase::kOver: return;
  }
}

void Handshake::advance() {
  switch (transport_->shake()) {
    case net::TlsTransport::Shake::kBlocked: return;
    case net::TlsTransport::Shake::kDone: return decide(Verdict::kDone);
    case net::TlsTransport::Shake::kPlain: return decide(Verdict::kPlain);
    case net::TlsTransport::Shake::kLeft: return decide(Verdict::kLeft);
    case net::TlsTransport::Shake::kFailed: return decide(Verdict::kFailed);
  }
}

void Handshake::decide(Verdict verdict) {
  const bool goes_on = verdict == Verdict::kDone || verdict == Verdict::kPlain;
  timer_.cancel();
  phase_ = verdict == Verdict::kFailed ? Phase::kParting : Phase::kOver;
  events_.on_verdict(verdict);
  if (goes_on) return;
  if (phase_ == Phase::kOver) return events_.on_parted();
  // Closing with unread bytes would reset the connection and destroy the alert (DESIGN, law 7).
  transport_->end_output();
  timer_.arm(kPartingTime);
  part();
}

void Handshake::part() {
  for (int i = 0; i < kMostDiscarded; ++i) {
    switch (transport_->discard()) {
      case net::TlsTransport::Discard::kSome: break;
      case net::TlsTransport::Discard::kBlocked: return;
      case net::TlsTransport::Discard::kEnd: timer_.arm(Duration{0}); return;
    }
  }
  timer_.arm(Duration{0});  // who still sends that much does not read
}

}  // namespace sluice::server
