// What stands above an upstream codec in its tests: a pool that notes down, and a listener.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/event/timers.h"
#include "proxy/http/connection.h"
#include "tests/unit/http/memory_transport.h"

namespace sluice::testing {

struct Listener final : http::ClientEvents {
  void on_readable() override {
    ++readables;
    if (greedy) read();
  }
  void on_writable() override { ++writables; }
  void on_broken(const Error& error) override { broken.push_back(error); }
  void on_interim(http::ResponseHead&& its_head) override { interims.push_back(its_head.status); }
  void on_head(http::ResponseHead&& its_head) override {
    ++heads;
    head = std::move(its_head);
    if (greedy) read();
    if (on_headed) on_headed();
  }

  http::BodyRead read(uint64_t most = 1 << 20) {
    Chain chain;
    do {
      last = stream->read_body(chain, most);
    } while (last == http::BodyRead::kSome);
    body += chain.to_string();
    return last;
  }
  void send(std::string_view text) {
    Chain chain;
    chain.append_copy(text);
    stream->send_body(std::move(chain));
  }

  http::ClientStream* stream = nullptr;
  std::function<void()> on_headed;
  http::ResponseHead head;
  std::string body;
  http::BodyRead last = http::BodyRead::kBlocked;
  std::vector<int> interims;
  std::vector<Error> broken;
  int heads = 0;
  int readables = 0;
  int writables = 0;
  bool greedy = true;
};

inline http::RequestHead request(std::string_view method, std::string_view target,
                                 http::BodySize body = http::BodySize::none()) {
  http::RequestHead head;
  head.method = head.headers.arena().copy(method);
  head.target = head.headers.arena().copy(target);
  const auto mark = head.target.find('?');
  head.query = mark == std::string_view::npos ? std::string_view{} : head.target.substr(mark + 1);
  head.authority = "h";
  head.body = body;
  return head;
}

template <typename Client>
struct ClientRig final : http::ClientOwner {
  explicit ClientRig(bool one_byte = false) {
    wire.one_byte = one_byte;
    client =
        std::make_unique<Client>(std::make_unique<MemoryTransport>(wire), timers, limits, *this);
  }
  // A new listener on a newly leased stream.
  Listener& lease() {
    listeners.push_back(std::make_unique<Listener>());
    listeners.back()->stream = &client->lease();
    listeners.back()->stream->set_events(*listeners.back());
    return *listeners.back();
  }
  // The same, with a whole request sent.
  Listener& ask(http::RequestHead&& head) {
    Listener& listener = lease();
    listener.stream->send_head(head);
    listener.stream->send_end();
    listener.stream->flush();
    return listener;
  }
  Listener& get() { return ask(request("GET", "/")); }
  void advance(Duration by) { timers.advance(timers.now() + by); }
  void tick() { advance(std::chrono::milliseconds(2)); }

  void on_stream_over(bool is_reusable) override {
    ++streams_over;
    reusable = is_reusable;
  }
  void on_over() override { ++overs; }
  bool on_begun(int) override {
    ++begun;
    return waits_when_begun;
  }

  event::Timers timers{TimePoint{}};
  http::ClientLimits limits;
  Wire wire;
  std::vector<std::unique_ptr<Listener>> listeners;
  int streams_over = 0;
  int overs = 0;
  int begun = 0;
  bool waits_when_begun = false;
  bool reusable = false;
  std::unique_ptr<Client> client;
};

}  // namespace sluice::testing
