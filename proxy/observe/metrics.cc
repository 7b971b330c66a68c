#include "proxy/observe/metrics.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <prometheus/text_serializer.h>

#include "proxy/observe/collector.h"

namespace sluice::observe {

namespace {

Buckets to_buckets(std::vector<double> bounds) {
  constexpr double kMostSeconds = 1e9;
  std::erase_if(bounds, [](double b) { return !(b > 0) || b > kMostSeconds; });
  std::sort(bounds.begin(), bounds.end());
  Buckets buckets;
  for (const double bound : bounds) {
    const auto exact = Duration(std::llround(bound * 1e9));
    if (buckets.size() < kMostBuckets && (buckets.empty() || exact > buckets.back())) {
      buckets.push_back(exact);
    }
  }
  return buckets;
}

}  // namespace

Metrics::Metrics(MetricsOptions options)
    : version_(std::move(options.version)),
      buckets_(to_buckets(std::move(options.buckets))),
      born_(steady_now()),
      routes_(CellTable<RouteCell>::kMostIds),
      listeners_(CellTable<ListenerCell>::kMostIds),
      upstreams_(CellTable<UpstreamCell>::kMostIds),
      endpoints_(CellTable<EndpointCell>::kMostIds) {}

Metrics::~Metrics() = default;

WorkerMetrics& Metrics::add_worker() {
  const std::lock_guard lock(mutex_);
  FlightLedger::Line& flight = ledger_.of_worker(workers_.size());
  return *workers_.emplace_back(std::make_unique<WorkerMetrics>(buckets_, flight));
}

RouteId Metrics::route(std::string_view name) {
  const std::lock_guard lock(mutex_);
  return {routes_.id_of(name)};
}

ListenerId Metrics::listener(std::string_view name) {
  const std::lock_guard lock(mutex_);
  return {listeners_.id_of(name)};
}

UpstreamId Metrics::upstream(std::string_view name) {
  const std::lock_guard lock(mutex_);
  return {upstreams_.id_of(name)};
}

EndpointId Metrics::endpoint(std::string_view upstream, std::string_view endpoint) {
  const std::lock_guard lock(mutex_);
  return {{upstreams_.id_of(upstream)}, endpoints_.id_of(upstream, endpoint)};
}

void Metrics::set_config(std::string_view hash, uint64_t generation) {
  const std::lock_guard lock(mutex_);
  config_hash_ = hash;
  config_generation_ = generation;
}

void Metrics::reloaded(bool well) {
  const std::lock_guard lock(mutex_);
  ++(well ? reloads_ : failed_reloads_);
}

void Metrics::checked(EndpointId endpoint, bool well) {
  const std::lock_guard lock(mutex_);
  Checks& checks = checks_[endpoint.index];
  ++(well ? checks.well : checks.badly);
}

void Metrics::ejected(EndpointId endpoint) {
  const std::lock_guard lock(mutex_);
  ++ejections_[endpoint.index];
}

void Metrics::set_info(std::string name, std::string help, InfoLabels labels) {
  const std::lock_guard lock(mutex_);
  infos_.push_back({std::move(name), std::move(help), std::move(labels)});
}

void Metrics::read_counter(std::string name, std::string help, std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  sources_.push_back({std::move(name), std::move(help), true, std::move(read)});
}

void Metrics::read_gauge(std::string name, std::string help, std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  sources_.push_back({std::move(name), std::move(help), false, std::move(read)});
}

void Metrics::set_values(const std::string& family, std::string help, std::string label,
                         Values values) {
  const std::lock_guard lock(mutex_);
  values_[family] = {std::move(help), std::move(label), std::move(values)};
}

bool Metrics::inherit(std::string_view text) {
  const std::lock_guard lock(mutex_);
  return inheritance_.add(text);
}

std::string Metrics::take_increment() {
  const std::lock_guard lock(mutex_);
  return inheritance_.take_increment(Collector(*this).counted());
}

std::string Metrics::retire() {
  const std::lock_guard lock(mutex_);
  const Collector collector(*this);
  auto families = collector.counted();
  std::string increment = inheritance_.take_increment(families);
  collector.collect_told(families);
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  last_text_ = std::move(text).str();
  return increment;
}

void Metrics::tell(std::string family, std::string help, std::string label, std::string value,
                   uint64_t count) {
  const std::lock_guard lock(mutex_);
  for (Told& told : told_) {
    if (told.family == family && told.value == value) {
      told.count = count;
      return;
    }
  }
  if (told_.size() == kMostTold) return;
  told_.push_back({std::move(family), std::move(help), std::move(label), std::move(value), count});
}

std::string Metrics::render() const {
  {
    const std::lock_guard lock(mutex_);
    if (!last_text_.empty()) return last_text_;
  }
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, Collector(*this).Collect());
  return std::move(text).str();
}

int64_t Metrics::in_flight(EndpointId endpoint) const {
  const std::lock_guard lock(mutex_);
  return Collector(*this).in_flight(endpoint);
}

uint64_t Metrics::requests_of(const std::vector<RouteId>& routes) const {
  const std::lock_guard lock(mutex_);
  uint64_t count = 0;
  for (const auto& worker : workers_) {
    for (const RouteId route : routes) {
      const RouteCell* cell = worker->routes_.find(route.index);
      if (cell != nullptr) cell->codes.each([&count](int, uint64_t some) { count += some; });
    }
  }
  return count;
}

std::map<std::string, uint64_t> Metrics::drops() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, uint64_t> drops;
  for (const auto& worker : workers_) {
    worker->dropped_.each(
        [&drops](std::string_view reason, uint64_t count) { drops[std::string(reason)] += count; });
  }
  return drops;
}

MetricTotals Metrics::totals() const {
  const std::lock_guard lock(mutex_);
  return Collector(*this).totals();
}

}  // namespace sluice::observe
