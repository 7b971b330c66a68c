#include "proxy/config/dump.h"

#include <fmt/format.h>

#include "proxy/config/address.h"
#include "proxy/config/dump_writer.h"
#include "proxy/config/units.h"

namespace sluice::config {
namespace {

std::string flow(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull: return "~";
    case Node::Kind::kScalar: return quote(node.scalar);
    case Node::Kind::kList: {
      std::string out;
      for (const auto& item : node.items) out += (out.empty() ? "" : ", ") + flow(item);
      return "[" + out + "]";
    }
    case Node::Kind::kMap: {
      std::string out;
      for (const auto& [name, value] : node.entries) {
        out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", quote(name), flow(value));
      }
      return "{" + out + "}";
    }
  }
  return {};
}

void write_process(Writer& w, const Config& c) {
  constexpr const char* kFormats[] = {"json", "combined", "off"};
  constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
  w.line(0, "workers", or_word(c.workers, "auto"));
  w.line(0, "admin",
         fmt::format("{{socket: {}}}", c.admin.socket.empty() ? "off" : quote(c.admin.socket)));
  w.line(0, "metrics", "");
  w.line(1, "address", c.metrics.address ? quote(c.metrics.address->text) : "off");
  w.line(1, "buckets", fmt::format("[{}]", fmt::join(c.metrics.buckets, ", ")));
  w.line(0, "drain",
         fmt::format("{{min: {}, quiet: {}, max: {}, deadline: {}, tunnels: {}}}",
                     format_duration(c.drain.min), format_duration(c.drain.quiet),
                     format_duration(c.drain.max), format_duration(c.drain.deadline),
                     format_duration(c.drain.tunnels)));
  w.line(0, "access_log",
         fmt::format("{{format: {}, path: {}, buffer: {}}}",
                     kFormats[static_cast<int>(c.access_log.format)], quote(c.access_log.path),
                     format_bytes(c.access_log.buffer)));
  w.line(0, "log",
         fmt::format("{{level: {}, path: {}}}", kLevels[static_cast<int>(c.log.level)],
                     quote(c.log.path)));
  w.line(0, "limits",
         fmt::format("{{connections: {}, spill: {}, memory: {}, in_flight: {}, clients: {}}}",
                     or_word(c.limits.connections, "auto"), format_bytes(c.limits.spill),
                     or_word(c.limits.memory, "auto"), or_word(c.limits.in_flight, "off"),
                     c.limits.clients));
  w.line(0, "spill", fmt::format("{{folder: {}}}", quote(c.spill_folder)));
}

void write_sources(Writer& w, const Config& c) {
  std::vector<std::string> servers;
  for (const auto& server : c.resolver.servers) servers.push_back(server.text);
  w.line(0, "resolver",
         fmt::format("{{servers: {}, timeout: {}, tries: {}, min_ttl: {}, max_ttl: {}, retry: {}}}",
                     list_of(servers), format_duration(c.resolver.timeout), c.resolver.tries,
                     format_duration(c.resolver.min_ttl), format_duration(c.resolver.max_ttl),
                     format_duration(c.resolver.retry)));
  w.line(0, "watch", on_off(c.watch));
  w.line(0, "poll", "");
  w.line(1, "url", c.poll.url.empty() ? "off" : quote(c.poll.url));
  w.line(1, "interval", format_duration(c.poll.interval));
  if (!c.poll.authorization.empty()) w.line(1, "authorization", quote("(secret)"));
  w.line(0, "ecs",
         fmt::format("{{metadata: {}, interval: {}, application: {}}}", on_off(c.ecs.metadata),
                     format_duration(c.ecs.interval), quote(c.ecs.application)));
}

void write_tls(Writer& w, const Tls& t) {
  if (!t.enabled) return w.line(2, "tls", "off");
  w.line(2, "tls", "");
  if (t.self_signed) w.line(3, "self_signed", "on");
  if (!t.certificates.empty()) w.line(3, "certificates", "");
  for (const Certificate& c : t.certificates) {
    const size_t from = w.mark();
    w.line(5, "cert", quote(c.cert));
    w.begin_item(from);
    w.line(5, "key", quote(c.key));
    if (!c.ocsp.empty()) w.line(5, "ocsp", quote(c.ocsp));
  }
  constexpr std::string_view kKinds[] = {"off", "optional", "required"};
  w.line(3, "min_version", t.min_version == TlsVersion::k12 ? "1.2" : "1.3");
  w.line(3, "client_ca", quote(t.client_ca));
  w.line(3, "client_certificate", kKinds[static_cast<size_t>(t.client_certificate)]);
  w.line(3, "tickets",
         fmt::format("{{keys: {}, rotate: {}}}", quote(t.tickets.keys),
                     format_duration(t.tickets.rotate)));
}

void write_listener_limits(Writer& w, const ListenerLimits& l) {
  w.line(2, "limits",
         fmt::format("{{line: {}, headers: {}, header_count: {}, body: {}, connections: {}, "
                     "handshakes: {}, requests: {}, streams: {}, body_rate: {}, send_rate: {}, "
                     "client_connections: {}, connection_rate: {}, connection_burst: {}, "
                     "request_rate: {}, request_burst: {}}}",
                     format_bytes(l.line), format_bytes(l.headers), l.header_count,
                     format_bytes(l.body), l.connections, l.handshakes, or_word(l.requests, "off"),
                     or_word(l.streams, "off"), or_word(l.body_rate, "off"),
                     or_word(l.send_rate, "off"), or_word(l.client_connections, "off"),
                     format_rate(l.connection_rate), or_word(l.connection_rate.burst, "auto"),
                     format_rate(l.request_rate), or_word(l.request_rate.burst, "auto")));
}

void write_listener(Writer& w, const Listener& l) {
  std::vector<std::string> networks;
  for (const auto& network : l.trusted_proxies) networks.push_back(format_network(network));
  const size_t from = w.mark();
  w.line(2, "address", quote(l.address.text));
  w.begin_item(from);
  w.line(2, "trusted_proxies", list_of(networks));
  constexpr const char* kProxyProtocols[] = {"off", "optional", "required"};
  w.line(2, "proxy_protocol", kProxyProtocols[static_cast<int>(l.proxy_protocol)]);
  write_tls(w, l.tls);
  write_listener_limits(w, l.limits);
  w.line(2, "timeouts",
         fmt::format("{{first_byte: {}, handshake: {}, header: {}, body: {}, idle: {}, send: {}, "
                     "ping: {}}}",
                     format_duration(l.timeouts.first_byte), format_duration(l.timeouts.handshake),
                     format_duration(l.timeouts.header), format_duration(l.timeouts.body),
                     format_duration(l.timeouts.idle), format_duration(l.timeouts.send),
                     or_word(l.timeouts.ping, "off")));
  w.line(2, "backlog", fmt::format("{}", l.backlog));
}

void write_static(Writer& w, const StaticFiles& f) {
  w.line(2, "static", "");
  w.line(3, "root", quote(f.root));
  w.line(3, "index", list_of(f.index));
  if (!f.try_files.empty()) w.line(3, "try_files", list_of(f.try_files));
  if (!f.fallback.empty()) w.line(3, "fallback", quote(f.fallback));
  if (!f.cache_control.empty()) w.line(3, "cache_control", quote(f.cache_control));
  w.line(3, "listing", on_off(f.listing));
  w.line(3, "precompressed", on_off(f.precompressed));
  w.line(3, "hidden", on_off(f.hidden));
  w.line(3, "follow_symlinks", on_off(f.follow_symlinks));
  if (f.types.empty()) return;
  w.line(3, "types", "");
  for (const auto& [extension, type] : f.types) w.line(4, quote(extension), quote(type));
}

void write_action(Writer& w, const Route& r) {
  switch (r.action) {
    case Action::kUpstream: return w.line(2, "upstream", quote(r.upstream));
    case Action::kStatic: return write_static(w, r.files);
    case Action::kRedirect:
      return w.line(2, "redirect",
                    fmt::format("{{to: {}, status: {}}}", quote(r.redirect.to), r.redirect.status));
    case Action::kRespond: break;
  }
  w.line(2, "respond", "");
  if (r.respond.health == Health::kNone) w.line(3, "status", fmt::format("{}", r.respond.status));
  if (r.respond.health != Health::kNone) {
    w.line(3, "health", r.respond.health == Health::kLive ? "live" : "ready");
  }
  w.line(3, "body", quote(r.respond.body));
  w.line(3, "content_type", quote(r.respond.content_type));
}

void write_headers(Writer& w, const std::vector<HeaderCondition>& headers) {
  if (headers.empty()) return;
  w.line(2, "headers", "");
  for (const auto& [name, value] : headers) w.line(3, quote(name), value ? quote(*value) : "~");
}

void write_route(Writer& w, const Route& r) {
  const size_t from = w.mark();
  w.line(2, "name", quote(r.name));
  w.begin_item(from);
  if (!r.host.empty()) w.line(2, "host", quote(r.host));
  if (!r.exact.empty()) {
    w.line(2, "exact", quote(r.exact));
  } else if (!r.regex.empty()) {
    w.line(2, "regex", quote(r.regex));
  } else {
    w.line(2, "path", quote(r.path));
  }
  if (!r.methods.empty()) w.line(2, "methods", list_of(r.methods));
  write_headers(w, r.headers);
  if (r.internal) w.line(2, "internal", "on");
  if (!r.strip_prefix.empty()) w.line(2, "strip_prefix", quote(r.strip_prefix));
  if (r.replace_prefix) w.line(2, "replace_prefix", quote(*r.replace_prefix));
  write_action(w, r);
  const bool is_limited = r.timeouts.request.count() != 0;
  w.line(2, "timeouts",
         fmt::format("{{request: {}}}", is_limited ? format_duration(r.timeouts.request) : "off"));
  if (r.action == Action::kUpstream) {
    w.line(2, "retry",
           fmt::format("{{methods: {}, idempotency_key: {}}}", list_of(r.retry.methods),
                       on_off(r.retry.idempotency_key)));
    const auto or_off = [](Duration time) {
      return time > Duration{0} ? format_duration(time) : std::string("off");
    };
    w.line(2, "tunnel",
           fmt::format("{{idle: {}, max_age: {}, connections: {}}}", or_off(r.tunnel.idle),
                       or_off(r.tunnel.max_age), r.tunnel.connections));
  }
  if (r.buffering) write_buffering(w, 2, *r.buffering);
  if (r.body) w.line(2, "body", format_bytes(*r.body));
  if (r.filters.empty()) return;
  std::string filters;
  for (const auto& filter : r.filters) {
    filters += fmt::format("{}{{{}: {}}}", filters.empty() ? "" : ", ", quote(filter.name),
                           flow(filter.settings));
  }
  w.line(2, "filters", "[" + filters + "]");
}

}  // namespace

std::string dump(const Config& config) {
  Writer w;
  write_process(w, config);
  write_sources(w, config);
  w.line(0, "listeners", "");
  for (const auto& listener : config.listeners) write_listener(w, listener);
  w.line(0, "routes", "");
  for (const auto& route : config.routes) write_route(w, route);
  if (!config.upstreams.empty()) w.line(0, "upstreams", "");
  for (const auto& upstream : config.upstreams) write_upstream(w, upstream);
  return w.take();
}

}  // namespace sluice::config
