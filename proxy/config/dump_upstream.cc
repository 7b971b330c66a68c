#include <fmt/format.h>

#include "proxy/config/dump_writer.h"
#include "proxy/config/endpoint_text.h"
#include "proxy/config/units.h"

namespace sluice::config {
namespace {

std::string endpoint(const EndpointSource& source) {
  const auto address = quote(format_endpoint(source));
  if (source.weight == 1 && source.priority == 0) return address;
  if (source.kind == EndpointSource::Kind::kSrv) {  // its records bring the weights
    return fmt::format("{{address: {}, priority: {}}}", address, source.priority);
  }
  return fmt::format("{{address: {}, weight: {}, priority: {}}}", address, source.weight,
                     source.priority);
}

void write_fastcgi(Writer& w, const Fastcgi& f) {
  w.line(2, "fastcgi", "");
  if (!f.root.empty()) w.line(3, "root", quote(f.root));
  w.line(3, "index", quote(f.index));
  w.line(3, "split", quote(f.split));
  std::string params;
  for (const auto& [name, value] : f.params) {
    params += fmt::format("{}{}: {}", params.empty() ? "" : ", ", name, quote(value));
  }
  w.line(3, "params", "{" + params + "}");
  w.line(3, "keep", on_off(f.keep));
  w.line(3, "stderr", f.remarks == 0_B ? "off" : format_bytes(f.remarks));
}

void write_balance(Writer& w, const Upstream& u) {
  constexpr const char* kBalances[] = {"round_robin", "least_request", "random", "peak_ewma",
                                       "ring_hash"};
  w.line(2, "balance", kBalances[static_cast<int>(u.balance)]);
  if (u.balance == Balance::kRingHash) {
    const bool by_header = u.hash.kind == HashKey::Kind::kHeader;
    w.line(2, "hash", u.hash.kind == HashKey::Kind::kAddress
                          ? "{address: on}"
                          : fmt::format("{{{}: {}}}", by_header ? "header" : "cookie",
                                        quote(u.hash.name)));
  }
  if (!u.sticky.cookie.empty()) {
    w.line(2, "sticky", fmt::format("{{cookie: {}, age: {}}}", quote(u.sticky.cookie),
                                    or_word(u.sticky.age, "session")));
  }
  w.line(2, "panic", percent_or_off(u.panic));
  w.line(2, "slow_start", or_word(u.slow_start, "off"));
}

void write_health(Writer& w, const HealthCheck& h) {
  if (h.kind == HealthCheck::Kind::kOff) return w.line(2, "health", "off");
  w.line(2, "health", "");
  w.line(3, "type", h.kind == HealthCheck::Kind::kTcp ? "tcp" : "request");
  if (h.kind == HealthCheck::Kind::kRequest) {
    std::vector<std::string> status;
    for (const auto& [from, to] : h.status) {
      status.push_back(from == to ? fmt::format("{}", from) : fmt::format("{}-{}", from, to));
    }
    w.line(3, "path", quote(h.path));
    w.line(3, "method", quote(h.method));
    w.line(3, "host", quote(h.host));
    w.line(3, "status", list_of(status));
    w.line(3, "body", quote(h.body));
  }
  w.line(3, "interval", format_duration(h.interval));
  w.line(3, "fast_interval", format_duration(h.fast_interval));
  w.line(3, "timeout", format_duration(h.timeout));
  w.line(3, "rise", fmt::format("{}", h.rise));
  w.line(3, "fall", fmt::format("{}", h.fall));
  w.line(3, "jitter", fmt::format("{}%", h.jitter));
  w.line(3, "initial", h.up_at_first ? "up" : "down");
}

void write_ejection(Writer& w, const Ejection& e) {
  w.line(2, "ejection",
         fmt::format("{{errors: {}, rate: {}, latency: {}, requests: {}, interval: {}, time: {}, "
                     "max_time: {}, most: {}%}}",
                     or_word(e.errors, "off"), percent_or_off(e.rate), or_word(e.latency, "off"),
                     e.requests, format_duration(e.interval), format_duration(e.time),
                     format_duration(e.max_time), e.most));
}

void write_patience(Writer& w, const Upstream& u) {
  w.line(2, "timeouts",
         fmt::format("{{connect: {}, send: {}, first_byte: {}, between_bytes: {}}}",
                     format_duration(u.timeouts.connect), format_duration(u.timeouts.send),
                     format_duration(u.timeouts.first_byte),
                     format_duration(u.timeouts.between_bytes)));
  w.line(2, "max_in_flight", or_word(u.max_in_flight, "off"));
  w.line(2, "hold",
         fmt::format("{{timeout: {}, requests: {}, bytes: {}, unhealthy_after: {}, ramp: {}}}",
                     format_duration(u.hold.timeout), u.hold.requests, format_bytes(u.hold.bytes),
                     or_word(u.hold.unhealthy_after, "off"), or_word(u.hold.ramp, "off")));
  w.line(2, "retry",
         fmt::format("{{attempts: {}, budget: {}%, backoff: {}, max_backoff: {}, per_try: {}}}",
                     u.retry.attempts, u.retry.budget, format_duration(u.retry.backoff),
                     format_duration(u.retry.max_backoff), or_word(u.retry.per_try, "off")));
}

}  // namespace

std::string_view name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::kHttp1: break;
    case Protocol::kUwsgi: return "uwsgi";
    case Protocol::kFastcgi: return "fastcgi";
  }
  return "http1";
}

void write_upstream(Writer& w, const Upstream& u) {
  std::string endpoints;
  for (const auto& source : u.endpoints) {
    endpoints += (endpoints.empty() ? "" : ", ") + endpoint(source);
  }
  w.line(1, quote(u.name), "");
  w.line(2, "protocol", std::string{name_of(u.protocol)});
  if (u.protocol == Protocol::kFastcgi) write_fastcgi(w, u.fastcgi);
  constexpr const char* kVersions[] = {"off", "v1", "v2"};
  w.line(2, "proxy_protocol", kVersions[static_cast<int>(u.proxy_protocol)]);
  w.line(2, "endpoints", "[" + endpoints + "]");
  write_balance(w, u);
  write_health(w, u.health);
  write_ejection(w, u.ejection);
  w.line(2, "pool",
         fmt::format("{{idle: {}, learn: {}, unsafe_idle: {}, spare: {}, requests: {}}}",
                     format_duration(u.pool.idle), on_off(u.pool.learn),
                     format_duration(u.pool.unsafe_idle), u.pool.spare,
                     or_word(u.pool.requests, "off")));
  write_buffering(w, 2, u.buffering);
  write_patience(w, u);
}

}  // namespace sluice::config
