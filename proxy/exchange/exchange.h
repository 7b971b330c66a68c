// Exchange: one request, start to end. Made by the session when a head is in, lives until its
// answer is with the kernel or broken off, then tells its owner, which deletes it on a later tick.
// It borrows the client's stream, owns everything else of this request, and sees every room below.
// One thread.
//
//   kRoute -> kFilter -> kReceive -> kAttempt -> kRelay -> kFinish -> kOver
//                │           │         │  ^ |      ^
//                │           │         │  └─┘ retry│
//                └───────────┴─────────┴───────────┘  an answer of our own (file, error, redirect)
//   kRelay -> kPipe -> kFinish: a tunnel, behind 101 (exchange_tunnel.cc)
//
// Each phase is one function; advance() is the order of life. News (from the client's stream, the
// attempt, the timer, a filter) only notes what it brought and calls advance().
#pragma once

#include <memory>
#include <optional>

#include "proxy/base/recycled.h"
#include "proxy/event/timers.h"
#include "proxy/exchange/answers.h"
#include "proxy/exchange/attempt.h"
#include "proxy/exchange/client_info.h"
#include "proxy/exchange/exchange_owner.h"
#include "proxy/exchange/forwarding.h"
#include "proxy/exchange/generation.h"
#include "proxy/exchange/relay.h"
#include "proxy/exchange/retry.h"
#include "proxy/exchange/services.h"
#include "proxy/filter/chain.h"
#include "proxy/observe/record.h"

namespace sluice::exchange {

struct Upgrade;  // exchange/tunnel.h

class Exchange final : public event::Deferred,
                       public Recycled<Exchange>,
                       private http::ServerEvents,
                       private AttemptEvents,
                       private filter::FilterHost,
                       private event::TimerEvents {
 public:
  Exchange(const Services& services, std::shared_ptr<const Generation> generation,
           const ClientInfo& client, http::ServerStream& stream, http::RequestHead&& head,
           ExchangeOwner& owner);
  ~Exchange() override;

  http::ServerEvents& events() { return *this; }
  void start() { advance(); }
  // Instead of start(): answers that it will not be served.
  void refuse(const Outcome& outcome);
  // The same, but for health answers. Requires: the outcome outlives this.
  void refuse_all_but_health(const Outcome& outcome);
  // The deadline of a drain passed: breaks off.
  void abort(std::string_view reason);
  // A drain: its tunnel ends politely, a WebSocket from `at` on, any other at `last`.
  void end_tunnel(TimePoint at, TimePoint last);
  bool is_health() const;
  bool may_tunnel() const { return upgrade_ != nullptr; }  // asked for, or open
  // Bytes of memory that bodies pin here.
  uint64_t held() const;
  TimePoint began() const { return began_; }

 private:
  enum class Phase : uint8_t { kRoute, kFilter, kReceive, kAttempt, kRelay, kPipe, kFinish, kOver };
  enum class Next : uint8_t { kGo, kWait };
  // kNone <-> kTheirs (an upstream's) or kOurs -> kBegun (its head went out: from here on errors
  // can only cut); any -> kBroken (the stream was reset: nothing more is said to the client).
  enum class AnswerState : uint8_t { kNone, kTheirs, kOurs, kBegun, kBroken };

  void advance();
  Next route();
  Next filter();
  Next receive();
  Next attempt();
  Next relay();
  Next tunnel();
  Next finish();

  // -- news --
  void on_readable() override { advance(); }
  void on_writable() override { advance(); }
  void on_broken(const Error& error) override;
  void on_client_ended() override;
  void on_leased() override;
  void on_interim(http::ResponseHead&& head) override;
  void on_head(http::ResponseHead&& head) override;
  void on_upstream_readable() override { advance(); }
  void on_upstream_writable() override { advance(); }
  void on_late() override;
  void on_attempt_failed(const Failure& failure) override;
  void on_timer(event::Timer& timer) override;

  // -- what filters may ask --
  void answer(http::ResponseHead&& head, std::string_view body) override;
  void resume() override { advance(); }
  std::string_view client_address() const override { return forwarded_.client; }
  const http::RequestHead& request() const override { return request_; }

  // exchange_admission.cc
  bool admit();
  int over_rate();
  // exchange_actions.cc: what a route does
  void answer_for_this_hop();
  void find_route();
  void take_upstream(size_t index);
  void act();
  void redirect();
  void serve_file();
  void respond(const config::Respond& respond);
  void follow_accel(const AccelOrders& orders, http::ResponseHead& answered);
  // exchange_upstream.cc: the way to the application
  void make_wish();
  std::string proxy_preface() const;
  void stick_to_endpoint(http::ResponseHead& head);
  bool begin_attempt();
  void count_failure(const Failure& failure);
  void log_remarks();
  void probe_client();
  bool awaits_client();
  void go_on();
  void send_request();
  bool pump_request();
  void end_attempt(bool well);
  bool retry(const Failure& failure, bool is_late);
  std::optional<Duration> pause_to_retry(const RetryQuestion& question);
  void fail_upstream(const Failure& failure);
  void note_failure(const Failure& failure, const Outcome& outcome);
  // exchange_tunnel.cc
  bool admit_tunnel();
  void begin_tunnel();
  void cut_tunnel(observe::TunnelEnd why);
  bool end_event_stream();
  // answers and endings
  void set_answer_state(AnswerState next);
  bool has_begun() const { return answer_state_ == AnswerState::kBegun; }
  bool open_answer();
  void set_answer(Answer&& made);
  void fail(const Outcome& outcome);
  void break_off(const Outcome& outcome);
  void record();  // exchange_record.cc

  const config::Upstream& upstream_config() const { return cluster_->config(); }
  bool streams_request() const { return !buffering_.request; }

  // Fixed at birth.
  const Services& services_;
  const std::shared_ptr<const Generation> generation_;
  const ClientInfo client_;
  http::ServerStream& stream_;
  ExchangeOwner& owner_;
  const TimePoint began_;
  const WallTime began_wall_;
  // Changes as we go.
  Phase phase_ = Phase::kRoute;
  const Outcome* refusal_ = nullptr;  // of everything but health answers; null: none
  FlightPlace place_;
  http::RequestHead request_;
  Forwarded forwarded_;
  std::string_view original_target_;  // as sent; rewriting changes request_.target
  const route::Route* found_ = nullptr;
  const RouteEntry* route_ = nullptr;
  upstream::Cluster* cluster_ = nullptr;  // of route_, held by generation_
  config::Buffering buffering_;
  filter::FilterChain filters_;
  std::optional<RequestRelay> request_relay_;
  bool request_sent_ = false;  // to the present attempt, its body and end included
  upstream::Wish wish_;
  std::optional<Failure> last_failure_;  // of the attempt before
  TimePoint tried_since_;
  uint32_t attempts_ = 0;
  uint32_t free_tries_ = 0;     // of them those after RetryVerdict::kAtOnce
  uint32_t patient_tries_ = 0;  // and those after kPatiently
  RetryProofs retried_;
  TimePoint asked_at_{};  // the client, whether it is there
  bool accel_followed_ = false;
  AnswerState answer_state_ = AnswerState::kNone;
  std::optional<http::ResponseHead> response_;  // kTheirs, kOurs
  bool buffers_response_ = true;
  std::optional<ResponseRelay> response_relay_;
  Chain local_body_;
  std::unique_ptr<Upgrade> upgrade_;  // null where none was asked for
  int status_ = 0;
  int upstream_status_ = 0;
  std::string_view reason_;
  upstream::Lease last_lease_;
  Duration first_byte_{-1};
  Duration upstream_total_{-1};
  // Handles, last.
  event::Timer deadline_;  // timeouts.request
  event::Timer turn_;      // others had theirs: on with the relay
  event::Timer pause_;     // in kAttempt: before a retry; while waiting or leased: for the client
  std::unique_ptr<Attempt> attempt_;
};

}  // namespace sluice::exchange
