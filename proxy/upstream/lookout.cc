#include "proxy/upstream/lookout.h"

#include <utility>

namespace sluice::upstream {

void Lookout::watch(std::shared_ptr<Endpoint> endpoint, const config::Upstream& upstream) {
  const bool by_check = !watch_.knows(*endpoint) && is_down_at_first(upstream) &&
                        endpoint->state() != EndpointState::kReady;
  // Held like one whose listener is away; what the listener does is not asked until then.
  if (by_check) endpoint->note(EndpointNews::kListensNot);
  watch_.watch(endpoint,
               by_check ? ListenerWatch::Release::kByCheck : ListenerWatch::Release::kByListener);
  prober_.watch(std::move(endpoint), upstream);
}

void Lookout::unwatch(const Endpoint& endpoint) {
  prober_.unwatch(endpoint);
  watch_.unwatch(endpoint);
}

}  // namespace sluice::upstream
