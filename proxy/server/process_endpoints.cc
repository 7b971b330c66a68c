// What the process does when endpoints come, go and change: workers and lookouts are told.
#include <memory>
#include <utility>

#include "proxy/server/process.h"

namespace sluice::server {

void Process::open_directory(const config::Config& config) {
  resolver_ = std::make_unique<net::Resolver>(*loop_, config.resolver);
  lookout_ = std::make_unique<upstream::Lookout>(*loop_, *metrics_);
  judge_ = std::make_unique<ReadinessJudge>(*loop_, *log_, readiness_,
                                            [this] { lifeline_.say(Word::kProven); });
  if (lifeline_.is_proven()) judge_->trust();
  metrics_->read_gauge("ready", "1 while readiness is answered with 200.",
                       [this] { return readiness_.is_ready() ? 1.0 : 0.0; });
  upstream::DirectoryEvents& events = *this;
  directory_ = std::make_unique<upstream::Directory>(*loop_, *resolver_, *metrics_, *log_, events);
}

void Process::on_definition(const upstream::Definition& definition, std::function<void()> done) {
  auto left = std::make_shared<size_t>(workers_.size());
  const auto one_less = [left, done = std::move(done)] {
    if (--*left == 0) done();
  };
  for (const auto& worker : workers_) {
    worker->redefine(definition, [this, one_less] { loop_->post(one_less); });
  }
}

void Process::on_endpoint_named(const std::shared_ptr<upstream::Endpoint>& endpoint,
                                const config::Upstream& upstream) {
  lookout_->watch(endpoint, upstream);
  judge_->on_endpoint_named(endpoint, upstream);
}

void Process::on_endpoint_gone(const upstream::Endpoint& endpoint) {
  lookout_->unwatch(endpoint);
  judge_->on_endpoint_gone(endpoint);
}

void Process::on_endpoint_state(const std::string& upstream, upstream::Endpoint& endpoint,
                                upstream::EndpointState, upstream::EndpointState to) {
  const bool drains = drain_.stage() != Drain::Stage::kServing;
  if (drains && to == upstream::EndpointState::kHolding) {
    task_->on_gone_while_draining(upstream, endpoint);
  }
  lookout_->on_endpoint_changed();
  judge_->on_endpoint_state(upstream, to);
}

}  // namespace sluice::server
