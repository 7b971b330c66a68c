// What a route does with a request: to an upstream, or an answer of our own.
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/exchange/exchange.h"
#include "proxy/http/target.h"
#include "proxy/route/rewrite.h"

namespace sluice::exchange {

using http::HeaderId;

// Requests that concern this hop and no route: OPTIONS *, TRACE, Max-Forwards: 0.
void Exchange::answer_for_this_hop() {
  if (request_.is("TRACE")) return fail({405, "method_not_allowed"});
  Answer made = text_answer(204, "", "");
  made.head.headers.add(HeaderId::kAllow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  set_answer(std::move(made));
  phase_ = Phase::kRelay;
}

void Exchange::find_route() {
  const route::Table& table = *generation_->snapshot->table;
  const route::Match match = table.find(request_);
  if (match.route != nullptr) {
    found_ = match.route;
    route_ = &generation_->snapshot->route(*found_);
  }
  if (!is_health() && !admit()) return;
  if (match.route == nullptr) {
    if (!match.is_wrong_method) return fail({404, "no_route"});
    fail({405, "method_not_allowed"});
    const std::string allowed = table.allowed_methods(request_.authority, request_.path, request_);
    response_->headers.add(HeaderId::kAllow, allowed);
    return;
  }
  filters_ = filter::FilterChain(route_->filters);
  if (route_->config->timeouts.request > Duration{0})
    deadline_.arm(route_->config->timeouts.request);
  if (route_->config->action == config::Action::kUpstream) take_upstream(route_->upstream);
  phase_ = Phase::kFilter;
}

void Exchange::take_upstream(size_t index) {
  cluster_ = generation_->clusters[index].get();
  buffering_ = route_->config->buffering.value_or(upstream_config().buffering);
  // CGI states the length first: a body whose length is not known is taken whole.
  if (config::is_cgi(upstream_config().protocol) && request_.body.is_unknown()) {
    buffering_.request = true;
  }
  // Only there an answer can open a tunnel.
  if (upstream_config().protocol != config::Protocol::kHttp1) request_.upgrade = {};
  make_wish();
  request_.target = route::rewrite_target(*found_, request_, request_.headers.arena());
}

// Answers, or (try_files' fallback) finds an upstream.
void Exchange::act() {
  const config::Route& config = *route_->config;
  switch (config.action) {
    case config::Action::kStatic: serve_file(); break;
    case config::Action::kRedirect: redirect(); break;
    case config::Action::kRespond: respond(config.respond); break;
    case config::Action::kUpstream: SLUICE_ASSERT(false); break;
  }
  if (cluster_ == nullptr) phase_ = Phase::kRelay;
}

void Exchange::redirect() {
  const auto location = found_->redirect_location(request_, request_.headers.arena());
  if (!location) return fail({400, "redirect_needs_host"});
  set_answer(redirect_answer(route_->config->redirect.status, *location));
}

void Exchange::serve_file() {
  route::FileAnswer found =
      found_->files->answer({request_, found_->rest_of(request_.path), request_.path,
                             services_.loop.now(), accel_followed_});
  if (found.is_fallback) {
    // Where an answer of the upstream led here there is no way back to it.
    if (accel_followed_) return fail({404, "accel_file_not_found"});
    return take_upstream(route_->fallback);
  }
  if (found.head.status >= 400 && found.head.body.is_none()) add_error_body(found.head, found.body);
  set_answer({std::move(found.head), std::move(found.body)});
}

void Exchange::respond(const config::Respond& respond) {
  if (respond.health == config::Health::kReady && !services_.readiness.ask()) {
    return set_answer(text_answer(503, "text/plain", "not ready\n"));
  }
  if (respond.health != config::Health::kNone) {
    return set_answer(
        text_answer(respond.status, "text/plain", respond.body.empty() ? "ok\n" : respond.body));
  }
  set_answer(text_answer(respond.status, respond.content_type, respond.body));
}

// X-Accel-Redirect: the application chose a file; the answer's fields that speak of the content to
// the client stay (as nginx documents for this header).
void Exchange::follow_accel(const AccelOrders& orders, http::ResponseHead& answered) {
  accel_followed_ = true;
  const std::string_view target = orders.redirect;
  const size_t query = target.find('?');
  const auto path = http::normalize_path(target.substr(0, query), request_.headers.arena());
  const route::Match match =
      path ? generation_->snapshot->table->find_internal(request_.authority, *path, request_)
           : route::Match{};
  upstream_total_ = services_.loop.now() - attempt_->leased_at();
  services_.observer.metrics().on_upstream_done(last_lease_.endpoint->id(), upstream_status_,
                                                upstream_total_);
  attempt_->abandon();
  log_remarks();
  if (match.route == nullptr || match.route->files == nullptr) {
    services_.log.limited(
        observe::Severity::kWarning, "accel",
        "X-Accel-Redirect to " + std::string(target) + ": no internal static route has that path");
    return fail({502, "accel_no_route"});
  }
  found_ = match.route;
  request_.path = *path;
  serve_file();
  if (phase_ == Phase::kRelay && response_->status >= 400) return;
  for (const HeaderId id : {HeaderId::kContentType, HeaderId::kContentDisposition,
                            HeaderId::kCacheControl, HeaderId::kExpires}) {
    if (answered.headers.has(id)) response_->headers.set(id, answered.headers.get(id));
  }
  for (const auto& field : answered.headers) {
    if (field.id == HeaderId::kSetCookie) response_->headers.add(HeaderId::kSetCookie, field.value);
  }
  phase_ = Phase::kRelay;
}

}  // namespace sluice::exchange
