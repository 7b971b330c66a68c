// ReadinessJudge: whether the upstreams let this process be ready (law 6): not before each that a
// route names has answered a request, not while one is away for longer than hold.unhealthy_after,
// and through all that is shorter. Its word goes into exchange::Readiness, which workers read.
// Owned by Process; control thread.
//
// No balancer sends requests to who is not ready, so there would never be an answer: while somebody
// asks for readiness, the judge asks one endpoint itself. Never unasked, never one that is away.
//
//   an upstream:   kUnproven ── answered ──> kProven ── away too long ──> kAway ── answered ──>
//   kProven
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/event/loop.h"
#include "proxy/exchange/services.h"
#include "proxy/observe/process_log.h"
#include "proxy/upstream/inquiry.h"

namespace sluice::server {

class ReadinessJudge final : private event::TimerEvents, private upstream::InquiryEvents {
 public:
  // `on_ready` runs when they let it for the first time. Requires: all of them outlive it.
  ReadinessJudge(event::Loop& loop, observe::ProcessLog& log, exchange::Readiness& readiness,
                 std::function<void()> on_ready = nullptr);
  ~ReadinessJudge();

  // The process before us was ready: who has answered it need not answer us, too, for a balancer to
  // go on. Before adopt().
  void trust() { was_ready_ = true; }
  // This configuration comes into force. Upstreams that it brings into a process that was ready
  // once count as proven: a reload must not take a task out of its balancer.
  void adopt(const config::Config& config);
  // -- news of the Directory --
  void on_endpoint_named(std::shared_ptr<upstream::Endpoint> endpoint,
                         const config::Upstream& upstream);
  void on_endpoint_gone(const upstream::Endpoint& endpoint);
  void on_endpoint_state(const std::string& upstream, upstream::EndpointState to);

  // Never ready again, whatever the upstreams say: the application will not come back.
  void refuse(std::string why);

  // "django: away for 12 s"; empty: nothing to say against it.
  std::string reason() const;

 private:
  enum class Standing : uint8_t { kUnproven, kProven, kAway };
  struct Subject {
    config::Upstream config;
    std::vector<std::shared_ptr<upstream::Endpoint>> endpoints;  // the Directory's
    Standing standing = Standing::kUnproven;
    TimePoint away_since = TimePoint::max();  // no endpoint is there; max(): one is
    TimePoint asked_at{};                     // our last question
    size_t next = 0;                          // whom to ask
    std::unique_ptr<upstream::Inquiry> inquiry;
  };

  void on_timer(event::Timer& timer) override;
  void on_answered(upstream::Inquiry& inquiry, const upstream::InquiryResult& result) override;
  void judge();
  void weigh(Subject& subject, TimePoint now);
  void look_for_absence(Subject& subject, TimePoint now);
  bool is_wanted(TimePoint now);
  Duration next_beat(bool is_ready, bool is_wanted) const;
  void ask(Subject& subject, TimePoint now);
  void say();
  void drop(Subject& subject);

  event::Loop& loop_;
  observe::ProcessLog& log_;
  exchange::Readiness& readiness_;
  const std::function<void()> on_ready_;
  std::map<std::string, Subject, std::less<>> subjects_;  // as many as the configuration says
  bool was_ready_ = false;                                // once in this process's life
  std::string refused_;                                   // why never again; empty: not so
  bool is_told_ = false;                                  // the log has the present verdict
  TimePoint wanted_until_{};                              // somebody has asked lately
  event::Timer beat_;
};

}  // namespace sluice::server
