#include "proxy/config/dump.h"

#include <algorithm>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/address.h"
#include "proxy/config/units.h"

namespace sluice::config {
namespace {

// Plain where YAML takes it as it is, else in double quotes; "${" would be taken for a variable.
std::string quote(std::string_view text) {
  const bool is_plain = !text.empty() && text != "null" &&
                        std::all_of(text.begin(), text.end(), [](char c) {
                          return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
                                 c == '/' || c == '.' || c == '_';
                        });
  if (is_plain) return std::string{text};
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      if (text.substr(i, 2) == "${") out += '$';
      out += c;
    }
  }
  return out + "\"";
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + quote(text);
  return "[" + out + "]";
}

std::string or_word(uint64_t number, std::string_view zero) {
  return number == 0 ? std::string{zero} : fmt::format("{}", number);
}
std::string or_word(Bytes bytes, std::string_view zero) {
  return bytes.count == 0 ? std::string{zero} : format_bytes(bytes);
}
std::string_view on_off(bool flag) { return flag ? "on" : "off"; }

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

// Lines of "key: value" at a depth.
class Writer {
 public:
  void line(int depth, std::string_view key, std::string_view value) {
    out_.append(static_cast<size_t>(depth) * 2, ' ').append(key).append(":");
    if (!value.empty()) out_.append(" ").append(value);
    out_ += '\n';
  }
  // The line written last begins an item of a list.
  void begin_item(size_t from) { out_[out_.find_first_not_of(' ', from) - 2] = '-'; }
  size_t mark() const { return out_.size(); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void write_buffering(Writer& w, int depth, const Buffering& b) {
  w.line(depth, "buffering",
         fmt::format("{{request: {}, response: {}, memory: {}, disk: {}}}", on_off(b.request),
                     on_off(b.response), format_bytes(b.memory), format_bytes(b.disk)));
}

void write_process(Writer& w, const Config& c) {
  constexpr const char* kFormats[] = {"json", "combined", "off"};
  constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
  w.line(0, "workers", or_word(c.workers, "auto"));
  w.line(0, "admin", fmt::format("{{socket: {}}}", c.admin.socket.empty() ? "off"
                                                                          : quote(c.admin.socket)));
  w.line(0, "metrics", "");
  w.line(1, "address", c.metrics.address ? quote(c.metrics.address->text) : "off");
  w.line(1, "buckets", fmt::format("[{}]", fmt::join(c.metrics.buckets, ", ")));
  w.line(0, "drain",
         fmt::format("{{min: {}, quiet: {}, max: {}, deadline: {}}}", format_duration(c.drain.min),
                     format_duration(c.drain.quiet), format_duration(c.drain.max),
                     format_duration(c.drain.deadline)));
  w.line(0, "access_log",
         fmt::format("{{format: {}, path: {}, buffer: {}}}",
                     kFormats[static_cast<int>(c.access_log.format)], quote(c.access_log.path),
                     format_bytes(c.access_log.buffer)));
  w.line(0, "log", fmt::format("{{level: {}, path: {}}}", kLevels[static_cast<int>(c.log.level)],
                               quote(c.log.path)));
  w.line(0, "limits",
         fmt::format("{{connections: {}, spill: {}, memory: {}}}",
                     or_word(c.limits.connections, "auto"), format_bytes(c.limits.spill),
                     or_word(c.limits.memory, "auto")));
  w.line(0, "spill", fmt::format("{{folder: {}}}", quote(c.spill_folder)));
}

void write_listener(Writer& w, const Listener& l) {
  std::vector<std::string> networks;
  for (const auto& network : l.trusted_proxies) networks.push_back(format_network(network));
  const size_t from = w.mark();
  w.line(2, "address", quote(l.address.text));
  w.begin_item(from);
  w.line(2, "trusted_proxies", list_of(networks));
  w.line(2, "proxy_protocol", "off");
  w.line(2, "limits",
         fmt::format("{{line: {}, headers: {}, header_count: {}, body: {}, connections: {}, "
                     "requests: {}, body_rate: {}}}",
                     format_bytes(l.limits.line), format_bytes(l.limits.headers),
                     l.limits.header_count, format_bytes(l.limits.body), l.limits.connections,
                     or_word(l.limits.requests, "off"), or_word(l.limits.body_rate, "off")));
  w.line(2, "timeouts",
         fmt::format("{{first_byte: {}, header: {}, body: {}, idle: {}, send: {}}}",
                     format_duration(l.timeouts.first_byte), format_duration(l.timeouts.header),
                     format_duration(l.timeouts.body), format_duration(l.timeouts.idle),
                     format_duration(l.timeouts.send)));
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
      return w.line(2, "redirect", fmt::format("{{to: {}, status: {}}}", quote(r.redirect.to),
                                               r.redirect.status));
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
  w.line(2, "timeouts", fmt::format("{{request: {}}}",
                                    is_limited ? format_duration(r.timeouts.request) : "off"));
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

void write_upstream(Writer& w, const Upstream& u) {
  std::vector<std::string> endpoints;
  for (const auto& endpoint : u.endpoints) endpoints.push_back(endpoint.address.text);
  w.line(1, quote(u.name), "");
  w.line(2, "protocol", u.protocol == Protocol::kUwsgi ? "uwsgi" : "http1");
  w.line(2, "endpoints", list_of(endpoints));
  w.line(2, "balance", u.balance == Balance::kLeastRequest ? "least_request" : "round_robin");
  w.line(2, "pool", fmt::format("{{idle: {}, spare: {}, requests: {}}}",
                                format_duration(u.pool.idle), u.pool.spare,
                                or_word(u.pool.requests, "off")));
  write_buffering(w, 2, u.buffering);
  w.line(2, "timeouts",
         fmt::format("{{connect: {}, send: {}, first_byte: {}, between_bytes: {}}}",
                     format_duration(u.timeouts.connect), format_duration(u.timeouts.send),
                     format_duration(u.timeouts.first_byte),
                     format_duration(u.timeouts.between_bytes)));
  w.line(2, "max_in_flight", or_word(u.max_in_flight, "off"));
  w.line(2, "hold", fmt::format("{{timeout: {}, requests: {}, bytes: {}}}",
                                format_duration(u.hold.timeout), u.hold.requests,
                                format_bytes(u.hold.bytes)));
  w.line(2, "retry",
         fmt::format("{{attempts: {}, budget: {}%}}", u.retry.attempts, u.retry.budget));
}

}  // namespace

std::string dump(const Config& config) {
  Writer w;
  write_process(w, config);
  w.line(0, "listeners", "");
  for (const auto& listener : config.listeners) write_listener(w, listener);
  w.line(0, "routes", "");
  for (const auto& route : config.routes) write_route(w, route);
  if (!config.upstreams.empty()) w.line(0, "upstreams", "");
  for (const auto& upstream : config.upstreams) write_upstream(w, upstream);
  return w.take();
}

}  // namespace sluice::config
