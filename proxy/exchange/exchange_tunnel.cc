// The way of an exchange that stays open: a tunnel behind 101, and a stream of events.
#include <algorithm>
#include <utility>

#include "proxy/base/text.h"
#include "proxy/exchange/exchange.h"
#include "proxy/exchange/tunnel.h"

namespace sluice::exchange {

using observe::TunnelEnd;

namespace {

constexpr int kMostJitter = 10;  // percent of max_age by which a tunnel ends earlier

// Tunnels that were opened together are not to come again together.
Duration jittered(Duration max_age, TimePoint now, const void* whose) {
  const auto mixed = static_cast<uint64_t>(now.time_since_epoch().count()) ^
                     static_cast<uint64_t>(reinterpret_cast<uintptr_t>(whose));
  const uint64_t random = mixed * 0x9e3779b97f4a7c15 >> 32;
  return max_age - max_age / 100 * static_cast<int>(random % (kMostJitter + 1));
}

}  // namespace

// False: it is refused, and the answer is set.
bool Exchange::admit_tunnel() {
  if (client_.ends_tunnels != nullptr && *client_.ends_tunnels) {
    fail({503, "tunnel_drain", 1});
    return false;
  }
  upgrade_ = std::make_unique<Upgrade>();
  if (upgrade_->place.take(route_->tunnels, route_->config->tunnel.connections)) return true;
  upgrade_.reset();
  fail({503, "tunnel_connections", 1});
  return false;
}

// The head with 101 goes out; from here on the bytes are another protocol's.
void Exchange::begin_tunnel() {
  deadline_.cancel();  // timeouts.request is for answers
  place_.give_back();  // tunnels have a ceiling of their own
  stream_.send_head(*response_);
  set_answer_state(AnswerState::kBegun);
  const TimePoint now = services_.loop.now();
  const config::Tunnel& limits = route_->config->tunnel;
  Tunnel::Terms terms;
  terms.is_websocket = iequals(request_.upgrade, "websocket");
  terms.idle = limits.idle;
  terms.max_age = jittered(limits.max_age, now, this);
  Tunnel& tunnel = upgrade_->tunnel.emplace(stream_, attempt_->stream(), terms, now);
  tunnel.end_at(upgrade_->end_at, upgrade_->last);
  services_.observer.metrics().tunnel_opened();
  phase_ = Phase::kPipe;
}

Exchange::Next Exchange::tunnel() {
  Tunnel& tunnel = *upgrade_->tunnel;
  const TimePoint now = services_.loop.now();
  const uint64_t received = tunnel.received();
  const uint64_t sent = tunnel.sent();
  const Flow flow = tunnel.pump(now);
  services_.observer.metrics().tunnel_bytes(tunnel.received() - received, tunnel.sent() - sent);
  if (flow == Flow::kDone) {
    services_.observer.metrics().tunnel_ended(tunnel.ending());
    const bool is_out = attempt_->stream().unsent() == 0;
    end_attempt(is_out);
    phase_ = Phase::kFinish;
    return Next::kGo;
  }
  if (flow == Flow::kYields) turn_.arm(Duration{0});
  const TimePoint due = tunnel.due();
  if (due != TimePoint::max()) deadline_.arm(std::max(due - now, Duration{0}));
  return Next::kWait;
}

// A side is lost, or time is up: the other side is to see that it did not end well. But an
// application that was told to close may have done it in any way.
void Exchange::cut_tunnel(TunnelEnd why) {
  Tunnel& tunnel = *upgrade_->tunnel;
  const bool is_well = why == TunnelEnd::kUpstreamReset && !tunnel.is_open();
  tunnel.note(why);
  services_.observer.metrics().tunnel_ended(tunnel.ending());
  end_attempt(false);
  phase_ = Phase::kFinish;
  if (is_well) return;
  set_answer_state(AnswerState::kBroken);
  stream_.reset();
}

void Exchange::end_tunnel(TimePoint at, TimePoint last) {
  if (upgrade_ == nullptr) return;
  upgrade_->end_at = std::min(upgrade_->end_at, at);
  upgrade_->last = std::min(upgrade_->last, last);
  if (phase_ != Phase::kPipe) return;
  upgrade_->tunnel->end_at(at, last);
  const Duration left = upgrade_->tunnel->due() - services_.loop.now();
  deadline_.arm(std::max(left, Duration{0}));
}

// A client of such a stream takes it up again when it ends, and is told that it ended well: it has
// no length that it could miss.
bool Exchange::end_event_stream() {
  if (phase_ != Phase::kRelay || !has_begun() || response_relay_->source_ended()) return false;
  const auto type = response_->headers.get(http::HeaderId::kContentType);
  if (!type.starts_with("text/event-stream")) return false;
  response_relay_->end_source();
  end_attempt(false);
  return true;
}

}  // namespace sluice::exchange
