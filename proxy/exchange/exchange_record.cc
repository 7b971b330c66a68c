// What is remembered of an exchange: the last thing it does.
#include "proxy/exchange/exchange.h"
#include "proxy/exchange/tunnel.h"

namespace sluice::exchange {

using http::HeaderId;

namespace {

// The limits of the configuration that a request may have met, by the reason it ended with.
std::string_view limit_of(std::string_view reason) {
  if (reason == "body_too_large") return "body";
  if (reason == "body_over_buffering_disk") return "buffering.disk";
  if (reason == "spill_ceiling") return "spill";
  if (reason == "queue_full" || reason == "hold_overflow") return "hold.requests";
  if (reason == "queue_timeout" || reason == "hold_timeout") return "hold.timeout";
  if (reason == "client_timeout") return "timeouts.body";
  if (reason == "client_send_timeout") return "timeouts.send";
  if (reason == "request_timeout") return "timeouts.request";
  if (reason == "tunnel_connections") return "tunnel.connections";
  if (reason == "request_rate" || reason == "in_flight" || reason == "memory") return reason;
  return {};
}

}  // namespace

void Exchange::record() {
  observe::Record r;
  const http::Headers& headers = request_.headers;
  r.client = forwarded_.client;
  if (client_.trusted) r.peer = client_.address.view();
  observe::ProxyWords words;
  net::IpText hop;
  if (client_.proxied != nullptr) {
    const net::ProxyHeader& said = client_.proxied->header;
    words = {said.vpc_endpoint, said.unique_id, said.authority, said.alpn, said.tls};
    hop = client_.proxied->hop.ip_text();
    r.peer = hop.view();
    r.proxied = &words;
  }
  if (client_.certificate != nullptr) {
    r.certificate_subject = client_.certificate->subject;
    r.certificate_names = client_.certificate->names;
    r.certificate_fingerprint = client_.certificate->fingerprint;
  }
  r.method = request_.method;
  r.host = request_.authority;
  r.target = original_target_;
  r.protocol = http::name_of(request_.version);
  r.scheme = forwarded_.secure ? "https" : "http";
  r.request_id = forwarded_.request_id;
  r.trace_id = headers.get(HeaderId::kXAmznTraceId);
  r.referer = headers.get(HeaderId::kReferer);
  r.user_agent = headers.get(HeaderId::kUserAgent);
  r.status = status_;
  r.reason = reason_;
  observe::RouteId route_id;
  if (route_ != nullptr) {
    r.route = route_->config->name;
    route_id = route_->id;
  }
  if (cluster_ != nullptr) {
    r.upstream = upstream_config().name;
    if (last_lease_.endpoint != nullptr) r.endpoint = last_lease_.endpoint->name();
    r.upstream_status = upstream_status_;
    r.attempts = attempts_;
    r.retried = retried_.text();
    r.queued = last_lease_.queued;
    r.connect = last_lease_.connect;
    r.first_byte = first_byte_;
    r.upstream_total = upstream_total_;
  }
  r.bytes_in = request_relay_ ? request_relay_->size() : 0;
  r.bytes_out = response_relay_ ? response_relay_->given() : 0;
  if (upgrade_ != nullptr && upgrade_->tunnel) {
    r.bytes_in += upgrade_->tunnel->received();
    r.bytes_out += upgrade_->tunnel->sent();
    r.tunnel = observe::name_of(upgrade_->tunnel->ending());
  }
  r.started = began_wall_;
  r.total = services_.loop.now() - began_;
  services_.observer.finished(r, route_id);
  const std::string_view limit = limit_of(reason_);
  if (!limit.empty()) services_.observer.metrics().limit_hit(limit);
}

}  // namespace sluice::exchange
