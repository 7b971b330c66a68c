// Fetch: one HTTP GET of our own (a polled configuration, a task's metadata), on the control loop:
// dial, ask, take the whole answer, within one deadline and one ceiling. `http` only, no redirects.
// Says its result once, on a later tick; `done` may destroy the Fetch. A handle: destroying it
// abandons the request and nothing is said.
//
//   dialling ── connected ──> asking ── head, body ──> told
//       └───── refused, late, broken, too large ───────^
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/config.h"
#include "proxy/event/soon.h"
#include "proxy/event/timers.h"
#include "proxy/http/connection.h"
#include "proxy/net/dialer.h"

namespace sluice::server {

struct FetchRequest {
  config::Address address;   // an address, or a unix socket's path; nothing is looked up
  std::string host;          // the field Host
  std::string target = "/";  // path and query
  std::vector<std::pair<std::string, std::string>> headers;
  Duration timeout = std::chrono::seconds(10);  // from dialling to the body's last byte
  uint64_t most = 4 * 1024 * 1024;              // bytes of the body
};

struct FetchAnswer {
  int status = 0;
  std::string etag;  // empty: none
  std::string body;
};

// "http://127.0.0.1:2772/path?query"; `localhost` is 127.0.0.1. The error says what would be right.
Result<FetchRequest> fetch_of(std::string_view url);

class Fetch final : private net::DialEvents,
                    private http::ClientOwner,
                    private http::ClientEvents,
                    private event::TimerEvents,
                    private event::SoonEvents {
 public:
  using Done = std::function<void(Result<FetchAnswer>)>;

  Fetch(event::Loop& loop, FetchRequest request, Done done);
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;
  ~Fetch();

 private:
  void begin();
  void ask();
  void take_body();
  void settle(Result<FetchAnswer> result);
  void leave();

  // -- net::DialEvents --
  void on_connected(std::unique_ptr<net::Transport> transport) override;
  void on_dial_failed(const Error& error) override;
  // -- http::ClientOwner: bookkeeping of a connection that is used once --
  void on_stream_over(bool) override { stream_ = nullptr; }
  void on_over() override {}
  // -- http::ClientEvents --
  void on_interim(http::ResponseHead&&) override {}
  void on_head(http::ResponseHead&& head) override;
  void on_readable() override { take_body(); }
  void on_writable() override {}
  void on_broken(const Error& error) override;
  void on_timer(event::Timer& timer) override;
  void on_soon() override;

  event::Loop& loop_;
  const FetchRequest request_;
  const Done done_;
  const http::ClientLimits limits_;
  FetchAnswer answer_;
  std::optional<Result<FetchAnswer>> result_;  // set once: the first word counts
  std::unique_ptr<http::ClientConnection> connection_;
  http::ClientStream* stream_ = nullptr;  // of connection_, while asked
  net::Dialer dialer_;
  event::Timer deadline_;
  event::Soon soon_;
};

}  // namespace sluice::server
