#include "proxy/server/readiness_judge.h"

#include <algorithm>
#include <set>
#include <utility>

namespace sluice::server {
namespace {

using namespace std::chrono_literals;
using upstream::EndpointNews;
using upstream::EndpointState;
using Kind = upstream::InquiryResult::Kind;

constexpr Duration kBeat = 20ms;  // while somebody waits for it
constexpr Duration kUnaskedBeat = 50ms;
constexpr Duration kAwayBeat = 100ms;
constexpr Duration kRestingBeat = 1s;  // all news is told
constexpr Duration kBetween = 500ms;   // two questions to one upstream
constexpr Duration kPatience = 30s;    // of a question: a slow import just takes long
constexpr Duration kWanted = 60s;      // a balancer asks again before that
constexpr Duration kSettled = 1s;      // who listens that long is back, though nobody has called

std::set<std::string, std::less<>> named_by_routes(const config::Config& config) {
  std::set<std::string, std::less<>> names;
  for (const config::Route& route : config.routes) {
    if (route.action == config::Action::kUpstream) names.insert(route.upstream);
    if (route.action == config::Action::kStatic) names.insert(route.files.fallback);
  }
  return names;
}

bool is_there(EndpointState state) {
  return state == EndpointState::kStarting || state == EndpointState::kReady ||
         state == EndpointState::kSuspect;
}

upstream::Question question_for(const config::Upstream& upstream) {
  upstream::Question question;
  question.protocol = upstream.protocol;
  question.fastcgi = upstream.fastcgi;
  question.proxy_protocol = upstream.proxy_protocol;
  question.method = "HEAD";
  question.host = upstream.health.host;
  question.user_agent = "sluice-readiness";
  question.timeout = kPatience;
  return question;
}

std::string seconds_text(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

ReadinessJudge::ReadinessJudge(event::Loop& loop, observe::ProcessLog& log,
                               exchange::Readiness& readiness, std::function<void()> on_ready)
    : loop_(loop),
      log_(log),
      readiness_(readiness),
      on_ready_(std::move(on_ready)),
      beat_(loop.timers(), *this) {}

ReadinessJudge::~ReadinessJudge() = default;

void ReadinessJudge::adopt(const config::Config& config) {
  const auto named = named_by_routes(config);
  const auto counts = [&named](const config::Upstream& upstream) {
    return named.count(upstream.name) > 0 && upstream.hold.unhealthy_after > Duration{0};
  };
  for (auto at = subjects_.begin(); at != subjects_.end();) {
    const bool stays = std::any_of(
        config.upstreams.begin(), config.upstreams.end(),
        [&](const auto& upstream) { return upstream.name == at->first && counts(upstream); });
    if (!stays) drop(at->second);
    at = stays ? std::next(at) : subjects_.erase(at);
  }
  for (const config::Upstream& upstream : config.upstreams) {
    if (!counts(upstream)) continue;
    const auto [at, is_new] = subjects_.try_emplace(upstream.name);
    if (is_new && was_ready_) at->second.standing = Standing::kProven;
    at->second.config = upstream;
  }
  judge();
}

void ReadinessJudge::drop(Subject& subject) {
  if (subject.inquiry != nullptr) loop_.defer_delete(std::move(subject.inquiry));
}

// ---- news ----

void ReadinessJudge::on_endpoint_named(std::shared_ptr<upstream::Endpoint> endpoint,
                                       const config::Upstream& upstream) {
  const auto found = subjects_.find(upstream.name);
  if (found == subjects_.end()) return;
  auto& endpoints = found->second.endpoints;
  if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end()) {
    endpoints.push_back(std::move(endpoint));
  }
  judge();
}

void ReadinessJudge::on_endpoint_gone(const upstream::Endpoint& endpoint) {
  for (auto& [name, subject] : subjects_) {
    std::erase_if(subject.endpoints, [&](const auto& one) { return one.get() == &endpoint; });
  }
  judge();
}

// Told, and not only looked at: it may have been ready for less than a beat.
void ReadinessJudge::on_endpoint_state(const std::string& upstream, EndpointState to) {
  const auto found = subjects_.find(upstream);
  if (found == subjects_.end()) return;
  Subject& subject = found->second;
  // A connect alone makes it ready here; an application that hangs accepts connections, too.
  const bool proves = subject.config.health.kind != config::HealthCheck::Kind::kTcp;
  if (to == EndpointState::kReady && proves) subject.standing = Standing::kProven;
  judge();
}

// ---- the verdict ----

void ReadinessJudge::on_timer(event::Timer&) {
  judge();
}

void ReadinessJudge::judge() {
  const TimePoint now = loop_.now();
  const bool is_wanted = this->is_wanted(now);
  bool is_ready = refused_.empty();
  for (auto& [name, subject] : subjects_) {
    weigh(subject, now);
    if (subject.standing == Standing::kProven) continue;
    is_ready = false;
    if (is_wanted) ask(subject, now);
  }
  if (is_ready && !std::exchange(was_ready_, true) && on_ready_) on_ready_();
  const bool was = readiness_.upstreams.exchange(is_ready, std::memory_order_relaxed);
  if (was != is_ready || !is_told_) say();
  beat_.arm(next_beat(is_ready, is_wanted));
}

// What changes without news: that somebody asks, and how long something is away.
Duration ReadinessJudge::next_beat(bool is_ready, bool is_wanted) const {
  if (!is_ready) return is_wanted ? kBeat : kUnaskedBeat;
  const bool any_away = std::any_of(subjects_.begin(), subjects_.end(), [](const auto& entry) {
    return entry.second.away_since != TimePoint::max();
  });
  return any_away ? kAwayBeat : kRestingBeat;
}

bool ReadinessJudge::is_wanted(TimePoint now) {
  if (readiness_.asked.exchange(false, std::memory_order_relaxed)) wanted_until_ = now + kWanted;
  return now < wanted_until_;
}

void ReadinessJudge::weigh(Subject& subject, TimePoint now) {
  const bool by_connect = subject.config.health.kind == config::HealthCheck::Kind::kTcp;
  const bool is_ready =
      std::any_of(subject.endpoints.begin(), subject.endpoints.end(),
                  [](const auto& endpoint) { return endpoint->state() == EndpointState::kReady; });
  if (is_ready) subject.away_since = TimePoint::max();
  if (is_ready && (!by_connect || subject.standing == Standing::kAway)) {
    subject.standing = Standing::kProven;
  }
  if (is_ready) return;
  look_for_absence(subject, now);
  const bool too_long = subject.away_since != TimePoint::max() &&
                        now - subject.away_since >= subject.config.hold.unhealthy_after;
  if (subject.standing == Standing::kProven && too_long) subject.standing = Standing::kAway;
}

// One that comes and goes, and never answers, is away all the while.
void ReadinessJudge::look_for_absence(Subject& subject, TimePoint now) {
  bool any_there = false;
  bool any_settled = false;
  for (const auto& endpoint : subject.endpoints) {
    const bool there = is_there(endpoint->state());
    any_there = any_there || there;
    any_settled = any_settled || (there && now - endpoint->changed_at() >= kSettled);
  }
  if (any_settled) subject.away_since = TimePoint::max();
  if (!any_there && subject.away_since == TimePoint::max()) subject.away_since = now;
}

void ReadinessJudge::refuse(std::string why) {
  refused_ = std::move(why);
  judge();
}

std::string ReadinessJudge::reason() const {
  std::string all = refused_;
  for (const auto& [name, subject] : subjects_) {
    if (subject.standing == Standing::kProven) continue;
    if (!all.empty()) all += "; ";
    all += name + ": ";
    if (subject.standing == Standing::kUnproven) {
      all +=
          subject.endpoints.empty() ? "no endpoint is known yet" : "no endpoint has answered yet";
    } else if (subject.away_since == TimePoint::max()) {
      all += "back, and has not answered yet";
    } else {
      all += "away for " + seconds_text(loop_.now() - subject.away_since);
    }
  }
  return all;
}

void ReadinessJudge::say() {
  // Before anybody can ask, endpoints are still being named.
  if (!readiness_.accepting.load(std::memory_order_relaxed)) return;
  const std::string why = reason();
  const bool is_first = !std::exchange(is_told_, true);
  if (!why.empty()) return log_.info("not ready: " + why);
  if (!is_first || !subjects_.empty()) log_.info("ready: every upstream has answered");
}

// ---- questions of our own ----

void ReadinessJudge::ask(Subject& subject, TimePoint now) {
  // Its own checks will tell, with the words that were asked for.
  if (subject.config.health.kind == config::HealthCheck::Kind::kRequest) return;
  if (subject.inquiry != nullptr || subject.endpoints.empty()) return;
  if (subject.asked_at != TimePoint{} && now - subject.asked_at < kBetween) return;
  const size_t count = subject.endpoints.size();
  for (size_t i = 0; i < count; ++i) {
    const auto& endpoint = subject.endpoints[subject.next++ % count];
    if (!is_there(endpoint->state()) || endpoint->backlog_is_full()) continue;
    subject.asked_at = now;
    upstream::InquiryEvents& events = *this;
    subject.inquiry =
        std::make_unique<upstream::Inquiry>(loop_, endpoint, question_for(subject.config), events);
    return;
  }
}

void ReadinessJudge::on_answered(upstream::Inquiry& inquiry,
                                 const upstream::InquiryResult& result) {
  const auto found = std::find_if(subjects_.begin(), subjects_.end(), [&](const auto& entry) {
    return entry.second.inquiry.get() == &inquiry;
  });
  if (found == subjects_.end()) return;
  Subject& subject = found->second;
  const std::unique_ptr<upstream::Inquiry>& own = subject.inquiry;
  upstream::Endpoint& endpoint = own->endpoint();
  switch (result.kind) {
    case Kind::kAnswered:
      subject.standing = Standing::kProven;
      endpoint.note(EndpointNews::kAnswered);
      break;
    case Kind::kRefused: endpoint.note(EndpointNews::kRefused); break;
    case Kind::kUnreached: endpoint.note(EndpointNews::kUnreached); break;
    case Kind::kFailed:
      log_.limited(observe::Severity::kWarning, "readiness",
                   found->first + ": " + endpoint.name() +
                       " was asked whether it is ready: " + result.detail);
      break;
  }
  loop_.defer_delete(std::move(subject.inquiry));  // it is still on the stack: it called us
  judge();
}

}  // namespace sluice::server
