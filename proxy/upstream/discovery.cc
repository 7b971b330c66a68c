#include "proxy/upstream/discovery.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sluice::upstream {

std::string text_of(const config::EndpointSource& source) {
  return source.kind == config::EndpointSource::Kind::kSrv
             ? "srv://" + source.name
             : "dns://" + source.name + ":" + std::to_string(source.port);
}

Discovery::Discovery(event::Loop& loop, net::Names& names, const config::EndpointSource& source,
                     const config::Resolver& config, DiscoveryEvents& events)
    : names_(names),
      source_(source),
      config_(config),
      events_(events),
      timer_(loop.timers(), *this) {
  if (source_.kind == config::EndpointSource::Kind::kDns) {
    take_targets({{source_.name, source_.port, 0, 1}});
  }
  timer_.arm(Duration{0});
}

void Discovery::apply(const config::Resolver& config) {
  const bool other = config != config_;
  config_ = config;
  if (other && timer_.is_armed()) timer_.arm(Duration{0});
}

// ---- a round ----

void Discovery::on_timer(event::Timer&) {
  spent_.clear();
  next_target_ = 0;
  answered_ = 0;
  ttl_ = config_.max_ttl;
  failure_.clear();
  if (source_.kind == config::EndpointSource::Kind::kSrv) {
    services_lookup_ = names_.services(source_.name, *this);
  } else {
    ask_targets();
  }
}

void Discovery::on_services(net::Lookup&, const Result<net::ServiceAnswer>& answer) {
  spent_.push_back(std::move(services_lookup_));
  if (!answer) {
    failure_ = answer.error().detail;
    return finish();
  }
  if (answer->services.empty()) {
    failure_ = "the service is not offered anywhere";
    return finish();
  }
  ttl_ = std::min(ttl_, answer->ttl);
  take_targets(answer->services);
  ask_targets();
}

// What is known of a target's addresses stays with it.
void Discovery::take_targets(const std::vector<net::Service>& services) {
  std::vector<Target> next;
  for (const net::Service& service : services) {
    Target target{service, {}, {}, nullptr};
    for (const Target& known : targets_) {
      if (known.service.target != service.target || known.service.port != service.port) continue;
      target.v4 = known.v4;
      target.v6 = known.v6;
    }
    next.push_back(std::move(target));
  }
  targets_ = std::move(next);
}

void Discovery::ask_targets() {
  while (next_target_ < targets_.size() && next_target_ - answered_ < kMostAtOnce) {
    Target& target = targets_[next_target_++];
    target.lookup = names_.addresses(target.service.target, target.service.port, *this);
  }
}

void Discovery::on_addresses(net::Lookup& lookup, const net::AddressAnswer& answer) {
  const auto asked = std::find_if(targets_.begin(), targets_.end(), [&lookup](const auto& target) {
    return target.lookup.get() == &lookup;
  });
  if (asked == targets_.end()) return;
  spent_.push_back(std::move(asked->lookup));
  ++answered_;
  const bool some = (answer.v4 && !answer.v4->empty()) || (answer.v6 && !answer.v6->empty());
  if (some) {
    // A family that could not be asked keeps what was known of it.
    if (answer.v4) asked->v4 = *answer.v4;
    if (answer.v6) asked->v6 = *answer.v6;
    ttl_ = std::min(ttl_, answer.ttl);
  } else if (failure_.empty()) {
    const auto& failed = !answer.v4 ? answer.v4 : answer.v6;
    failure_ = failed ? "the name has no address" : failed.error().detail;
    if (source_.kind == config::EndpointSource::Kind::kSrv) {
      failure_ = asked->service.target + ": " + failure_;
    }
  }
  if (answered_ == targets_.size()) return finish();
  ask_targets();
}

void Discovery::finish() {
  if (failure_.empty()) {
    timer_.arm(std::clamp(ttl_, config_.min_ttl, std::max(config_.min_ttl, config_.max_ttl)));
  } else {
    // Spread, so that many names, or many tasks, do not ask a weak server in step.
    timer_.arm(config_.retry * std::uniform_int_distribution<int>(75, 125)(random_) / 100);
  }
  std::vector<Found> now = gathered();
  // New targets of which none has an address yet say nothing against the old ones.
  if (!failure_.empty() && now.empty()) now = found_;
  const bool same = now == found_;
  found_ = std::move(now);
  has_answered_ = has_answered_ || failure_.empty();
  if (!same) events_.on_found(*this);
  if (failure_.empty() && !trouble_.empty()) {
    trouble_.clear();
    return events_.on_recovered(*this);
  }
  if (failure_.empty() || failure_ == trouble_) return;
  trouble_ = failure_;
  events_.on_trouble(*this, trouble_);
}

// RFC 2782: the lowest priority first. Only the order counts, so that 10 and 20 fit beside the
// groups that the configuration makes.
std::vector<Found> Discovery::gathered() const {
  std::vector<uint16_t> priorities;
  for (const Target& target : targets_) priorities.push_back(target.service.priority);
  std::sort(priorities.begin(), priorities.end());
  priorities.erase(std::unique(priorities.begin(), priorities.end()), priorities.end());
  std::vector<Found> all;
  for (const Target& target : targets_) {
    const auto place =
        std::lower_bound(priorities.begin(), priorities.end(), target.service.priority);
    const auto group = static_cast<uint32_t>(place - priorities.begin());
    // Weight 0 asks for "a very small chance"; it must not mean none when all have it.
    const uint32_t weight = std::max<uint32_t>(target.service.weight, 1);
    for (const auto* family : {&target.v4, &target.v6}) {
      for (const auto& address : *family) all.push_back({address, address.text(), weight, group});
    }
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    return std::tie(a.group, a.name) < std::tie(b.group, b.name);
  });
  // Two names may share an address: its first group counts.
  std::vector<Found> once;
  for (Found& each : all) {
    const auto same = [&each](const Found& other) { return other.name == each.name; };
    if (once.size() < kMostFound && std::none_of(once.begin(), once.end(), same)) {
      once.push_back(std::move(each));
    }
  }
  return once;
}

}  // namespace sluice::upstream
