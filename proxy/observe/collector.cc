#include "proxy/observe/collector.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "proxy/observe/process_stats.h"

namespace sluice::observe {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

namespace {

constexpr const char* kConnectionStateNames[] = {"new", "active", "idle", "closing"};
constexpr const char* kConnectionEndNames[] = {"client",      "answer", "timeout", "order",
                                               "handed_over", "failed", "refused"};
constexpr const char* kUpstreamConnectionStateNames[] = {"connecting", "active", "idle"};
constexpr const char* kRetryProofNames[] = {"never_sent", "not_received", "ambiguous"};
constexpr std::pair<EndpointState, const char*> kEndpointStateNames[] = {
    {EndpointState::kStarting, "starting"}, {EndpointState::kReady, "ready"},
    {EndpointState::kSuspect, "suspect"},   {EndpointState::kHolding, "holding"},
    {EndpointState::kDraining, "draining"},
};

MetricFamily family(std::string name, std::string help, MetricType type) {
  return {std::move(name), std::move(help), type, {}};
}

Labels with(Labels labels, std::string name, std::string value) {
  labels.push_back({std::move(name), std::move(value)});
  return labels;
}

void add_counter(MetricFamily& to, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  to.metric.push_back(std::move(metric));
}

void add_gauge(MetricFamily& to, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  to.metric.push_back(std::move(metric));
}

void single_counter(std::vector<MetricFamily>& out, std::string name, std::string help,
                    double value) {
  add_counter(out.emplace_back(family(std::move(name), std::move(help), MetricType::Counter)), {},
              value);
}

void single_gauge(std::vector<MetricFamily>& out, std::string name, std::string help,
                  double value) {
  add_gauge(out.emplace_back(family(std::move(name), std::move(help), MetricType::Gauge)), {},
            value);
}

// A family nobody has a sample for is left out.
void keep(std::vector<MetricFamily>& out, MetricFamily&& one) {
  if (!one.metric.empty()) out.push_back(std::move(one));
}

double as_double(uint64_t value) {
  return static_cast<double>(value);
}
double as_double(int64_t value) {
  return static_cast<double>(value);
}

}  // namespace

template <typename Cell, typename Read>
auto Collector::sum(const CellTable<Cell> WorkerMetrics::*table, uint32_t id, Read read) const {
  decltype(read(std::declval<const Cell&>())) total{};
  for (const auto& worker : metrics_.workers_) {
    if (const Cell* cell = ((*worker).*table).find(id)) total += read(*cell);
  }
  return total;
}

template <typename Cell>
bool Collector::is_known(const CellTable<Cell> WorkerMetrics::*table, uint32_t id) const {
  for (const auto& worker : metrics_.workers_) {
    if (((*worker).*table).find(id) != nullptr) return true;
  }
  return false;
}

template <typename Cell>
void Collector::add_codes(MetricFamily& to, const Labels& labels,
                          const CellTable<Cell> WorkerMetrics::*table, uint32_t id) const {
  std::map<int, uint64_t> codes;
  for (const auto& worker : metrics_.workers_) {
    const Cell* cell = ((*worker).*table).find(id);
    if (cell == nullptr) continue;
    cell->codes.each([&codes](int code, uint64_t count) { codes[code] += count; });
  }
  for (const auto& [code, count] : codes) {
    add_counter(to, with(labels, "code", code == 0 ? "other" : std::to_string(code)),
                as_double(count));
  }
}

template <typename Cell>
void Collector::add_histogram(MetricFamily& to, const Labels& labels,
                              const CellTable<Cell> WorkerMetrics::*table, uint32_t id,
                              const HistogramCell Cell::*histogram) const {
  const Buckets& buckets = metrics_.buckets_;
  ClientMetric metric;
  metric.label = labels;
  uint64_t count = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    count += sum(table, id, [&](const Cell& cell) { return (cell.*histogram).count(i); });
    metric.histogram.bucket.push_back({count, seconds(buckets[i])});
  }
  count += sum(table, id, [&](const Cell& c) { return (c.*histogram).count(buckets.size()); });
  metric.histogram.bucket.push_back({count, std::numeric_limits<double>::infinity()});
  if (count == 0) return;
  metric.histogram.sample_count = count;
  metric.histogram.sample_sum =
      as_double(sum(table, id, [&](const Cell& c) { return (c.*histogram).nanoseconds(); })) / 1e9;
  to.metric.push_back(std::move(metric));
}

void Collector::add_reasons(MetricFamily& to, const char* label,
                            const ReasonCounts WorkerMetrics::*reasons) const {
  std::map<std::string, uint64_t, std::less<>> counts;
  for (const auto& worker : metrics_.workers_) {
    ((*worker).*reasons).each([&](std::string_view reason, uint64_t count) {
      counts[std::string(reason)] += count;
    });
  }
  for (const auto& [reason, count] : counts) add_counter(to, {{label, reason}}, as_double(count));
}

std::vector<MetricFamily> Collector::Collect() const {
  const std::lock_guard lock(metrics_.mutex_);
  Families out = counted();
  collect_told(out);
  return out;
}

std::vector<MetricFamily> Collector::counted() const {
  Families out;
  collect_requests(out);
  collect_drops(out);
  collect_tunnels(out);
  collect_listeners(out);
  collect_handshakes(out);
  collect_h2(out);
  collect_upstreams(out);
  collect_endpoints(out);
  collect_endpoint_states(out);
  collect_checks(out);
  collect_control(out);
  collect_process(out);
  collect_values(out);
  metrics_.inheritance_.apply(out);
  return out;
}

MetricTotals Collector::totals() const {
  MetricTotals totals;
  for (const auto& worker : metrics_.workers_) {
    totals.requests += worker->requests_.get();
    totals.unserved += worker->unserved_.get();
    totals.in_flight += worker->flight_.requests.get();
  }
  for (uint32_t id = 0; id < metrics_.listeners_.size(); ++id) {
    totals.accepts +=
        sum(&WorkerMetrics::listeners_, id, [](const ListenerCell& c) { return c.accepts.get(); });
    for (size_t state = 0; state < kConnectionStates; ++state) {
      totals.connections += sum(&WorkerMetrics::listeners_, id,
                                [&](const ListenerCell& c) { return c.connections[state].get(); });
    }
  }
  for (uint32_t id = 0; id < metrics_.upstreams_.size(); ++id) {
    totals.held +=
        sum(&WorkerMetrics::upstreams_, id, [](const UpstreamCell& c) { return c.held.get(); });
  }
  return totals;
}

void Collector::collect_requests(Families& out) const {
  MetricFamily requests =
      family("sluice_http_requests_total",
             "Requests answered or broken off, by route and status code.", MetricType::Counter);
  MetricFamily durations =
      family("sluice_http_request_duration_seconds",
             "Seconds from a request's head to the end of its answer.", MetricType::Histogram);
  MetricFamily received = family("sluice_http_request_body_bytes_total",
                                 "Bytes of request bodies received.", MetricType::Counter);
  MetricFamily sent = family("sluice_http_response_body_bytes_total",
                             "Bytes of response bodies sent.", MetricType::Counter);
  const auto table = &WorkerMetrics::routes_;
  for (uint32_t id = 0; id < metrics_.routes_.size(); ++id) {
    if (!is_known<RouteCell>(table, id)) continue;
    const Labels labels{{"route", metrics_.routes_.names(id).first}};
    const size_t before = requests.metric.size();
    add_codes<RouteCell>(requests, labels, table, id);
    if (requests.metric.size() == before) continue;  // only its neighbours were used
    add_histogram<RouteCell>(durations, labels, table, id, &RouteCell::seconds);
    add_counter(
        received, labels,
        as_double(sum<RouteCell>(table, id, [](const auto& c) { return c.bytes_in.get(); })));
    add_counter(
        sent, labels,
        as_double(sum<RouteCell>(table, id, [](const auto& c) { return c.bytes_out.get(); })));
  }
  keep(out, std::move(requests));
  keep(out, std::move(durations));
  keep(out, std::move(received));
  keep(out, std::move(sent));

  int64_t in_flight = 0;
  int64_t buffered = 0;
  for (const auto& worker : metrics_.workers_) {
    in_flight += worker->flight_.requests.get();
    buffered += worker->buffered_bytes_.get();
  }
  single_gauge(out, "sluice_http_requests_in_flight", "Requests begun and not over.",
               as_double(in_flight));
  single_gauge(out, "sluice_buffered_bytes", "Memory that holds bytes on their way.",
               as_double(buffered));
}

void Collector::collect_drops(Families& out) const {
  MetricFamily dropped =
      family("sluice_dropped_total",
             "Requests and connections not served or broken off, by reason.", MetricType::Counter);
  add_reasons(dropped, "reason", &WorkerMetrics::dropped_);
  keep(out, std::move(dropped));
  MetricFamily limits =
      family("sluice_limit_hits_total", "Times a ceiling was met.", MetricType::Counter);
  add_reasons(limits, "limit", &WorkerMetrics::limits_);
  keep(out, std::move(limits));
}

void Collector::collect_tunnels(Families& out) const {
  int64_t open = 0;
  uint64_t received = 0;
  uint64_t sent = 0;
  std::array<uint64_t, kTunnelEnds> ends{};
  for (const auto& worker : metrics_.workers_) {
    open += worker->tunnels_.get();
    received += worker->tunnel_received_.get();
    sent += worker->tunnel_sent_.get();
    for (size_t how = 0; how < kTunnelEnds; ++how) ends[how] += worker->tunnels_ended_[how].get();
  }
  single_gauge(out, "sluice_tunnels", "Open tunnels: WebSockets and other upgrades.",
               as_double(open));
  MetricFamily ended = family("sluice_tunnels_ended_total",
                              "Tunnels that are over, by how they ended.", MetricType::Counter);
  for (size_t how = 0; how < kTunnelEnds; ++how) {
    const std::string name(name_of(static_cast<TunnelEnd>(how)));
    if (ends[how] > 0) add_counter(ended, {{"by", name}}, as_double(ends[how]));
  }
  keep(out, std::move(ended));
  if (received + sent == 0) return;
  MetricFamily& bytes =
      out.emplace_back(family("sluice_tunnel_bytes_total",
                              "Bytes that came through tunnels, from the client (in) "
                              "and from the upstream (out).",
                              MetricType::Counter));
  add_counter(bytes, {{"direction", "in"}}, as_double(received));
  add_counter(bytes, {{"direction", "out"}}, as_double(sent));
}

void Collector::collect_listeners(Families& out) const {
  MetricFamily connections =
      family("sluice_connections", "Open client connections.", MetricType::Gauge);
  MetricFamily accepts =
      family("sluice_accepts_total", "Client connections accepted.", MetricType::Counter);
  MetricFamily ends =
      family("sluice_connections_ended_total",
             "Client connections that are over, by how they ended.", MetricType::Counter);
  MetricFamily pauses =
      family("sluice_accept_paused_total",
             "Times accepting stopped for want of descriptors or places.", MetricType::Counter);
  const auto table = &WorkerMetrics::listeners_;
  for (uint32_t id = kOtherName; id < metrics_.listeners_.size(); ++id) {
    if (id == kOtherName && metrics_.listeners_.size() < CellTable<ListenerCell>::kMostIds)
      continue;
    const Labels labels{{"listener", metrics_.listeners_.names(id).first}};
    for (size_t state = 0; state < kConnectionStates; ++state) {
      const int64_t open =
          sum<ListenerCell>(table, id, [&](const auto& c) { return c.connections[state].get(); });
      add_gauge(connections, with(labels, "state", kConnectionStateNames[state]), as_double(open));
    }
    for (size_t how = 0; how < kConnectionEnds; ++how) {
      const uint64_t ended =
          sum<ListenerCell>(table, id, [&](const auto& c) { return c.ended[how].get(); });
      if (ended > 0)
        add_counter(ends, with(labels, "by", kConnectionEndNames[how]), as_double(ended));
    }
    add_counter(
        accepts, labels,
        as_double(sum<ListenerCell>(table, id, [](const auto& c) { return c.accepts.get(); })));
    add_counter(
        pauses, labels,
        as_double(sum<ListenerCell>(table, id, [](const auto& c) { return c.pauses.get(); })));
  }
  keep(out, std::move(connections));
  keep(out, std::move(accepts));
  keep(out, std::move(ends));
  keep(out, std::move(pauses));
}

void Collector::collect_upstreams(Families& out) const {
  MetricFamily durations = family("sluice_upstream_request_duration_seconds",
                                  "Seconds an attempt at an upstream took.", MetricType::Histogram);
  MetricFamily retries =
      family("sluice_upstream_retries_total",
             "Attempts made again, by what proved that it was safe.", MetricType::Counter);
  MetricFamily held =
      family("sluice_upstream_held_requests",
             "Requests that wait for a place at an upstream or for its return.", MetricType::Gauge);
  MetricFamily holds = family("sluice_upstream_hold_seconds",
                              "Seconds requests waited before their first attempt, or gave up.",
                              MetricType::Histogram);
  const auto table = &WorkerMetrics::upstreams_;
  for (uint32_t id = kOtherName; id < metrics_.upstreams_.size(); ++id) {
    if (id == kOtherName && !is_known<UpstreamCell>(table, id)) continue;
    const Labels labels{{"upstream", metrics_.upstreams_.names(id).first}};
    add_histogram<UpstreamCell>(durations, labels, table, id, &UpstreamCell::seconds);
    add_histogram<UpstreamCell>(holds, labels, table, id, &UpstreamCell::hold_seconds);
    add_gauge(held, labels,
              as_double(sum<UpstreamCell>(table, id, [](const auto& c) { return c.held.get(); })));
    for (size_t proof = 0; proof < kRetryProofs; ++proof) {
      const uint64_t count =
          sum<UpstreamCell>(table, id, [&](const auto& c) { return c.retries[proof].get(); });
      add_counter(retries, with(labels, "proof", kRetryProofNames[proof]), as_double(count));
    }
  }
  keep(out, std::move(durations));
  keep(out, std::move(retries));
  keep(out, std::move(held));
  keep(out, std::move(holds));
}

int64_t Collector::in_flight(EndpointId endpoint) const {
  constexpr auto kActive = static_cast<size_t>(UpstreamConnectionState::kActive);
  return sum<EndpointCell>(&WorkerMetrics::endpoints_, endpoint.index,
                           [](const auto& c) { return c.connections[kActive].get(); });
}

void Collector::collect_endpoints(Families& out) const {
  MetricFamily requests = family(
      "sluice_upstream_requests_total",
      "Attempts at an endpoint, by the code it answered; other: no answer.", MetricType::Counter);
  MetricFamily connections =
      family("sluice_upstream_connections", "Open connections to an endpoint.", MetricType::Gauge);
  MetricFamily connects =
      family("sluice_upstream_connects_total", "Connections to an endpoint, by how dialling ended.",
             MetricType::Counter);
  const auto table = &WorkerMetrics::endpoints_;
  for (uint32_t id = kOtherName; id < metrics_.endpoints_.size(); ++id) {
    if (!is_known<EndpointCell>(table, id)) continue;
    const auto& [upstream, endpoint] = metrics_.endpoints_.names(id);
    const Labels labels{{"upstream", upstream}, {"endpoint", endpoint}};
    add_codes<EndpointCell>(requests, labels, table, id);
    for (size_t state = 0; state < kUpstreamConnectionStates; ++state) {
      const int64_t open =
          sum<EndpointCell>(table, id, [&](const auto& c) { return c.connections[state].get(); });
      add_gauge(connections, with(labels, "state", kUpstreamConnectionStateNames[state]),
                as_double(open));
    }
    const uint64_t well =
        sum<EndpointCell>(table, id, [](const auto& c) { return c.connects.get(); });
    const uint64_t ill =
        sum<EndpointCell>(table, id, [](const auto& c) { return c.connect_failures.get(); });
    add_counter(connects, with(labels, "result", "success"), as_double(well));
    add_counter(connects, with(labels, "result", "failure"), as_double(ill));
  }
  keep(out, std::move(requests));
  keep(out, std::move(connections));
  keep(out, std::move(connects));
}

void Collector::collect_endpoint_states(Families& out) const {
  MetricFamily states =
      family("sluice_upstream_endpoint_state",
             "1 for the state an endpoint is in, 0 for the others.", MetricType::Gauge);
  for (uint32_t id = kOtherName + 1; id < metrics_.endpoints_.size(); ++id) {
    const EndpointState now = metrics_.endpoint_states_[id].load(std::memory_order_relaxed);
    if (now == EndpointState::kGone) continue;
    const auto& [upstream, endpoint] = metrics_.endpoints_.names(id);
    for (const auto& [state, name] : kEndpointStateNames) {
      add_gauge(states, {{"upstream", upstream}, {"endpoint", endpoint}, {"state", name}},
                now == state ? 1 : 0);
    }
  }
  keep(out, std::move(states));
}

void Collector::collect_checks(Families& out) const {
  MetricFamily checks = family("sluice_upstream_checks_total",
                               "Active checks of an endpoint, by result.", MetricType::Counter);
  for (const auto& [id, counts] : metrics_.checks_) {
    const auto& [upstream, endpoint] = metrics_.endpoints_.names(id);
    const Labels labels{{"upstream", upstream}, {"endpoint", endpoint}};
    add_counter(checks, with(labels, "result", "success"), as_double(counts.well));
    add_counter(checks, with(labels, "result", "failure"), as_double(counts.badly));
  }
  keep(out, std::move(checks));
  MetricFamily ejections =
      family("sluice_upstream_ejections_total", "Times an endpoint was put out for its failures.",
             MetricType::Counter);
  for (const auto& [id, count] : metrics_.ejections_) {
    const auto& [upstream, endpoint] = metrics_.endpoints_.names(id);
    add_counter(ejections, {{"upstream", upstream}, {"endpoint", endpoint}}, as_double(count));
  }
  keep(out, std::move(ejections));
}

void Collector::collect_control(Families& out) const {
  MetricFamily& reloads = out.emplace_back(family(
      "sluice_reloads_total", "Reloads of the configuration, by result.", MetricType::Counter));
  add_counter(reloads, {{"result", "success"}}, as_double(metrics_.reloads_));
  add_counter(reloads, {{"result", "failure"}}, as_double(metrics_.failed_reloads_));
  MetricFamily& config = out.emplace_back(
      family("sluice_config_info", "The configuration in force.", MetricType::Gauge));
  add_gauge(config,
            {{"hash", metrics_.config_hash_},
             {"generation", std::to_string(metrics_.config_generation_)}},
            1);
  MetricFamily& build =
      out.emplace_back(family("sluice_build_info", "The program that runs.", MetricType::Gauge));
  add_gauge(build, {{"version", metrics_.version_}}, 1);
  const auto drain = static_cast<int>(metrics_.drain_state_.load(std::memory_order_relaxed));
  single_gauge(out, "sluice_drain_state",
               "0: serving, 1: announcing the end and still accepting, 2: finishing what runs.",
               drain);
  single_gauge(out, "sluice_uptime_seconds", "Seconds since the serving process started.",
               seconds(steady_now() - metrics_.born_));
  for (const auto& info : metrics_.infos_) {
    MetricFamily& shown =
        out.emplace_back(family("sluice_" + info.name, info.help, MetricType::Gauge));
    Labels labels;
    for (const auto& [name, value] : info.labels) labels.push_back({name, value});
    add_gauge(shown, labels, 1);
  }
  for (const auto& source : metrics_.sources_) {
    const auto single = source.is_counter ? single_counter : single_gauge;
    single(out, "sluice_" + source.name, source.help, source.read());
  }
}

void Collector::collect_told(Families& out) const {
  for (const auto& told : metrics_.told_) {
    auto same = std::find_if(out.begin(), out.end(),
                             [&told](const auto& one) { return one.name == told.family; });
    if (same == out.end()) {
      same = out.insert(out.end(), family(told.family, told.help, MetricType::Counter));
    }
    add_counter(*same, {{told.label, told.value}}, as_double(told.count));
  }
}

void Collector::collect_process(Families& out) const {
  const ProcessStats stats = ProcessStats::read();
  single_counter(out, "process_cpu_seconds_total", "CPU time used, user and system.",
                 stats.cpu_seconds);
  single_gauge(out, "process_resident_memory_bytes", "Resident memory.",
               as_double(stats.resident_bytes));
  single_gauge(out, "process_virtual_memory_bytes", "Virtual memory.",
               as_double(stats.virtual_bytes));
  single_gauge(out, "process_open_fds", "Open file descriptors.",
               as_double(stats.open_descriptors));
  single_gauge(out, "process_max_fds", "The limit on file descriptors.",
               as_double(stats.most_descriptors));
  single_gauge(out, "process_threads", "Threads.", as_double(stats.threads));
  single_gauge(out, "process_start_time_seconds", "When the process started, since 1970.",
               stats.start_time_seconds);
}

}  // namespace sluice::observe
