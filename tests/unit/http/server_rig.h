// What stands above an H1Server in its tests: an owner and exchanges that note down what they hear.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/event/timers.h"
#include "proxy/http/h1_server.h"
#include "tests/unit/http/memory_transport.h"

namespace sluice::testing {

// Without its Date line, which changes.
inline std::string without_date(std::string text) {
  for (size_t at = 0; (at = text.find("Date: ", at)) != std::string::npos;) {
    text.erase(at, text.find("\r\n", at) + 2 - at);
  }
  return text;
}

struct FakeExchange final : http::ServerEvents {
  FakeExchange(http::ServerStream& its_stream, http::RequestHead&& its_head)
      : stream(its_stream), head(std::move(its_head)) {}

  void on_readable() override {
    ++readables;
    if (greedy) read();
  }
  void on_writable() override { ++writables; }
  void on_broken(const Error& error) override { broken.push_back(error); }
  void on_client_ended() override { ++ended; }

  // Takes what there is.
  http::BodyRead read(uint64_t most = 1 << 20) {
    Chain chain;
    do {
      last = stream.read_body(chain, most);
    } while (last == http::BodyRead::kSome);
    body += chain.to_string();
    return last;
  }
  void answer(int status, std::string_view text) {
    http::ResponseHead reply;
    reply.status = status;
    reply.body = http::BodySize::exactly(text.size());
    stream.send_head(reply);
    send(text);
    stream.send_end();
    stream.flush();
  }
  void begin_unknown() {
    http::ResponseHead reply;
    reply.body = http::BodySize::unknown();
    stream.send_head(reply);
  }
  void send(std::string_view text) {
    Chain chain;
    chain.append_copy(text);
    stream.send_body(std::move(chain));
  }

  http::ServerStream& stream;
  http::RequestHead head;
  std::string body;
  http::BodyRead last = http::BodyRead::kBlocked;
  std::vector<Error> broken;
  int readables = 0;
  int writables = 0;
  int ended = 0;
  bool greedy = true;
};

struct ServerRig : http::ServerOwner {
  explicit ServerRig(bool one_byte = false) { wire.one_byte = one_byte; }
  virtual ~ServerRig() = default;

  void start(std::string_view already_read = {}) {
    server = std::make_unique<http::H1Server>(std::make_unique<MemoryTransport>(wire), timers,
                                              limits, *this);
    server->start(already_read);
  }
  void advance(Duration by) { timers.advance(timers.now() + by); }
  void tick() { advance(std::chrono::milliseconds(2)); }
  FakeExchange& last() { return *exchanges.back(); }

  http::ServerEvents& on_request(http::ServerStream& stream, http::RequestHead&& head) override {
    exchanges.push_back(std::make_unique<FakeExchange>(stream, std::move(head)));
    FakeExchange& exchange = *exchanges.back();
    if (act) act(exchange);
    return exchange;
  }
  void on_rejected(const http::Rejection& rejection) override {
    rejected.push_back(std::to_string(rejection.status) + " " + std::string(rejection.reason));
  }
  void on_idle(bool now_idle) override {
    idle = now_idle;
    ++idle_news;
  }
  void on_over() override { ++overs; }
  void on_limit(std::string_view limit) override { hits.emplace_back(limit); }
  void on_h2(std::unique_ptr<net::Transport> transport, std::string_view already_read) override {
    h2_transport = std::move(transport);
    h2_read = already_read;
  }

  event::Timers timers{TimePoint{}};
  http::ServerLimits limits;
  Wire wire;
  std::function<void(FakeExchange&)> act;  // within on_request()
  std::vector<std::unique_ptr<FakeExchange>> exchanges;
  std::vector<std::string> rejected;
  std::vector<std::string> hits;  // of limits
  std::unique_ptr<net::Transport> h2_transport;
  std::string h2_read;
  bool idle = false;
  int idle_news = 0;
  int overs = 0;
  std::unique_ptr<http::H1Server> server;
};

}  // namespace sluice::testing
