// Whether a request is served at all: ceilings of its client, of the process and of memory. Health
// answers are, whatever is full (DESIGN, law 10).
#include <algorithm>
#include <cmath>

#include "proxy/exchange/exchange.h"

namespace sluice::exchange {

void Exchange::refuse(const Outcome& outcome) {
  fail(outcome);
  advance();
}

void Exchange::refuse_all_but_health(const Outcome& outcome) {
  refusal_ = &outcome;
  advance();
}

bool Exchange::is_health() const {
  return route_ != nullptr && route_->config->action == config::Action::kRespond &&
         route_->config->respond.health != config::Health::kNone;
}

// False: it is refused, and the answer is set.
bool Exchange::admit() {
  if (refusal_ != nullptr) return fail(*refusal_), false;
  if (client_.request_rate != nullptr && client_.request_rate->is_on()) {
    const int wait = over_rate();
    if (wait > 0) return fail({429, "request_rate", wait}), false;
  }
  if (!place_.take(services_.in_flight)) return fail({503, "in_flight", 1}), false;
  const uint64_t body = request_.body.is_unknown() ? UINT64_MAX : request_.body.length;
  if (!services_.memory.admits(body)) return fail({503, "memory", 1}), false;
  return true;
}

// Seconds until its client may ask again; 0: now. Who is behind a trusted proxy is known by what
// that forwards; the proxy's own requests, and those of proxies it names, have no limit.
int Exchange::over_rate() {
  const auto client = net::ip_port_of(forwarded_.client, 0);
  if (!client) return 0;  // a unix socket's
  for (const config::Network& proxy : client_.trusted_proxies) {
    if (proxy.contains(client->ip)) return 0;
  }
  const auto verdict = services_.clients.take(*client, *client_.request_rate, services_.loop.now());
  if (!verdict.remembered) services_.observer.metrics().limit_hit("clients");
  if (verdict.admitted) return 0;
  return std::max(1, static_cast<int>(std::ceil(std::min(seconds(verdict.wait), 3600.0))));
}

}  // namespace sluice::exchange
