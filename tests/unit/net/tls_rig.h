// What the tests of TLS share: contexts, and both ends of a connection.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/net/tls_context.h"
#include "proxy/net/tls_transport.h"
#include "tests/unit/net/made_certificates.h"
#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

namespace sluice::testing {

inline std::shared_ptr<net::TicketKeys> own_keys() {
  auto keys = std::make_shared<net::TicketKeys>();
  keys->rotate(steady_now());
  return keys;
}

inline std::shared_ptr<const net::TlsContext> context_of(
    const config::Tls& tls, std::shared_ptr<const net::TicketKeys> tickets = own_keys(),
    std::vector<std::string> protocols = {"http/1.1"}) {
  config::Faults faults;
  auto made =
      net::TlsContext::make({tls, "tls", nullptr, std::move(tickets), protocols, nullptr}, faults);
  for (const std::string& line : faults.lines()) MESSAGE(line);
  REQUIRE(made != nullptr);
  return made;
}

// OpenSSL's own client on its end of a socket pair; never waits.
class TlsClient {
 public:
  explicit TlsClient(Fd fd, std::string_view name = {}, int most_version = TLS1_3_VERSION)
      : fd_(std::move(fd)), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_.get(), most_version);
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_session_cache_mode(context_.get(),
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), fd_.get());
    if (!name.empty()) SSL_set_tlsext_host_name(ssl_.get(), std::string(name).c_str());
    SSL_set_connect_state(ssl_.get());
  }
  // Without a goodbye OpenSSL would not let its session be resumed.
  ~TlsClient() { SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN); }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  SSL* ssl() { return ssl_.get(); }
  SSL_CTX* context() { return context_.get(); }
  int socket() const { return fd_.get(); }
  bool shake() { return SSL_do_handshake(ssl_.get()) == 1; }
  bool say(std::string_view text) {
    return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) ==
           static_cast<int>(text.size());
  }
  // What is there now; `ended_` when close_notify came.
  std::string hear() {
    std::string all;
    char buffer[8192];
    for (;;) {
      const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (n <= 0) {
        ended = ended || SSL_get_error(ssl_.get(), n) == SSL_ERROR_ZERO_RETURN;
        return all;
      }
      all.append(buffer, static_cast<size_t>(n));
    }
  }
  std::string common_name() {
    X509* const shown = SSL_get0_peer_certificate(ssl_.get());
    return shown == nullptr ? "" : net::facts_of(*shown).subject;
  }
  void close() { fd_.reset(); }
  bool ended = false;

 private:
  Fd fd_;
  net::TlsHandle<SSL_CTX> context_;
  net::TlsHandle<SSL> ssl_;
};

struct TlsEar final : net::TransportEvents {
  void on_readable() override { ++readable; }
  void on_writable() override { ++writable; }
  int readable = 0;
  int writable = 0;
};

// A server's end under test, and a client that speaks to it.
struct TlsRig {
  explicit TlsRig(const std::shared_ptr<const net::TlsContext>& context, std::string_view name = {},
                  int most_version = TLS1_3_VERSION, std::pair<Fd, Fd> both = pair_of_sockets())
      : client(std::move(both.second), name, most_version),
        server(net::TlsTransport::accept(rounds.loop(), std::move(both.first), context).value()) {
    server->set_events(ear);
  }
  // Both sides say what they have to, until the server has an outcome.
  net::TlsTransport::Shake shake() {
    auto outcome = net::TlsTransport::Shake::kBlocked;
    rounds.until([&] {
      client.shake();
      rounds.once();
      if (outcome == net::TlsTransport::Shake::kBlocked) outcome = server->shake();
      return outcome != net::TlsTransport::Shake::kBlocked;
    });
    client.shake();
    return outcome;
  }
  net::Io read(size_t room = 8192) {
    std::string into(room, '\0');
    const net::Io io = server->read(into.data(), room);
    text = into.substr(0, io.count);
    return io;
  }
  // Until it is no longer blocked.
  net::Io await(size_t room = 8192) {
    net::Io io;
    rounds.until([&] {
      rounds.once();
      io = read(room);
      return io.state != net::Io::State::kBlocked;
    });
    return io;
  }

  Rounds rounds;
  TlsEar ear;
  TlsClient client;
  std::string text;
  std::unique_ptr<net::TlsTransport> server;
};

}  // namespace sluice::testing
