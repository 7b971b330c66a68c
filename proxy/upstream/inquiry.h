// Inquiry: one question of our own to one endpoint, on a connection of its own: a connect, or a
// request in the upstream's protocol and what was answered. Told once, on a later tick. A handle:
// destroying it gives the question up; from inside on_answered() only through loop.defer_delete().
// One thread.
//
//   kDialling ── connected ──> kAsking ── head ──> kReading ── end, 64 KiB ──> kOver
//       └────────┴─ refused, timed out, broken ──────┴───────────────────────────^
#pragma once

#include <memory>
#include <string>

#include "proxy/config/upstream.h"
#include "proxy/event/loop.h"
#include "proxy/http/connection.h"
#include "proxy/net/dialer.h"
#include "proxy/upstream/endpoint.h"

namespace sluice::upstream {

class Inquiry;

struct Question {
  config::Protocol protocol = config::Protocol::kHttp1;
  config::Fastcgi fastcgi;  // of protocol kFastcgi
  config::ProxyVersion proxy_protocol = config::ProxyVersion::kOff;
  bool connect_only = false;
  std::string method = "GET";
  std::string target = "/";
  std::string host = "localhost";
  std::string user_agent;
  bool wants_body = false;  // else it is read, and dropped
  Duration timeout = std::chrono::seconds(2);
};

struct InquiryResult {
  enum class Kind : uint8_t {
    kAnswered,   // or connected, when nothing more was asked
    kRefused,    // nobody listens
    kUnreached,  // the connect timed out, no route
    kFailed,     // connected, and no whole answer came; `detail` says why
  };
  Kind kind = Kind::kFailed;
  int status = 0;
  std::string body;  // the first 64 KiB
  std::string detail;
};

class InquiryEvents {
 public:
  virtual void on_answered(Inquiry& inquiry, const InquiryResult& result) = 0;

 protected:
  ~InquiryEvents() = default;
};

class Inquiry final : public event::Deferred,
                      private net::DialEvents,
                      private http::ClientOwner,
                      private http::ClientEvents,
                      private event::TimerEvents {
 public:
  // Begins. Requires: events outlive the inquiry.
  Inquiry(event::Loop& loop, std::shared_ptr<Endpoint> endpoint, Question question,
          InquiryEvents& events);
  ~Inquiry() override;

  Endpoint& endpoint() { return *endpoint_; }
  // When it began: what the endpoint has learned since is newer than this answer.
  TimePoint began() const { return began_; }

 private:
  enum class State : uint8_t { kDialling, kAsking, kReading, kOver };
  static constexpr size_t kMostBody = 64 * 1024;

  // -- net::DialEvents --
  void on_connected(std::unique_ptr<net::Transport> transport) override;
  void on_dial_failed(const Error& error) override;
  // -- http::ClientOwner, ClientEvents --
  void on_stream_over(bool reusable) override;
  void on_over() override {}
  void on_interim(http::ResponseHead&&) override {}
  void on_head(http::ResponseHead&& head) override;
  void on_readable() override;
  void on_writable() override {}
  void on_broken(const Error& error) override;

  void on_timer(event::Timer& timer) override;
  void ask();
  void conclude(InquiryResult::Kind kind, std::string detail = {});

  event::Loop& loop_;
  const std::shared_ptr<Endpoint> endpoint_;
  const Question question_;
  InquiryEvents& events_;
  const TimePoint began_;
  const http::ClientLimits limits_;
  State state_ = State::kDialling;
  InquiryResult result_;
  http::ClientStream* stream_ = nullptr;  // until its last word
  std::unique_ptr<http::ClientConnection> codec_;
  event::Timer timer_;
  net::Dialer dialer_;
};

}  // namespace sluice::upstream
