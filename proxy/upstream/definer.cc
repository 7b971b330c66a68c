#include "proxy/upstream/definer.h"

#include <utility>

#include "proxy/upstream/endpoint_set.h"

namespace sluice::upstream {

void check_sources(const config::Upstream& config, config::Faults& faults) {
  for (const config::EndpointSource& source : config.endpoints) {
    if (source.kind != config::EndpointSource::Kind::kAddress) continue;
    const auto address = net::SocketAddress::from(source.address);
    if (address) continue;
    faults.add(config.place.file, config.place.line, "upstreams." + config.name + ".endpoints",
               address.error().detail);
  }
}

Definition LooseDefiner::define(const config::Upstream& config, config::Faults& faults) {
  check_sources(config, faults);
  Definition made;
  made.config = config;
  made.id = metrics_.upstream(config.name);
  made.turnstile = std::make_shared<Turnstile>();
  made.ejector = std::make_shared<Ejector>();
  const auto nothing = [](const config::EndpointSource&) { return nullptr; };
  for (const Member& member : members_of(config.endpoints, nothing, {})) {
    auto endpoint = std::make_shared<Endpoint>(member.name, member.address,
                                               metrics_.endpoint(config.name, member.name));
    endpoint->set_weight(member.weight);
    endpoint->set_priority(member.priority);
    made.endpoints.push_back(std::move(endpoint));
  }
  return made;
}

}  // namespace sluice::upstream
