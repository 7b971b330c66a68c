#include "proxy/server/control_server.h"

#include <algorithm>
#include <utility>

#include "proxy/event/soon.h"
#include "proxy/http/h1_server.h"
#include "proxy/net/plain_transport.h"

namespace sluice::server {

// One connection: requests one after the other; the reply waits in `reply_` until the tick ends.
class ControlServer::Connection final : public event::Deferred,
                                        private http::ServerOwner,
                                        private http::ServerEvents,
                                        private event::SoonEvents {
 public:
  explicit Connection(ControlServer& server) : server_(server), reply_soon_(server.loop_, *this) {}
  ~Connection() override { *self_ = nullptr; }

  void drain() { connection_->drain(true); }
  bool start(Fd fd) {
    auto transport = net::PlainTransport::make(server_.loop_, std::move(fd));
    if (!transport) return false;
    http::ServerOwner& owner = *this;
    auto codec = std::make_unique<http::H1Server>(std::move(*transport), server_.loop_.timers(),
                                                  server_.limits_, owner);
    http::H1Server& started = *codec;
    connection_ = std::move(codec);
    started.start();
    return true;
  }

 private:
  http::ServerEvents& on_request(http::ServerStream& stream, http::RequestHead&& head) override {
    stream_ = &stream;
    is_head_ = head.is("HEAD");
    // The answer may come when this connection has long gone: it finds it through self_.
    // An order has parameters; a read may come with a query that is nobody's business.
    const std::string_view asked = head.is("POST") ? head.target : head.path;
    server_.handler_(head.method, asked, [self = self_](ControlReply reply) {
      if (*self != nullptr) (*self)->say(std::move(reply));
    });
    return *this;
  }

  void say(ControlReply reply) {
    if (stream_ == nullptr) return;
    reply_ = std::move(reply);
    reply_soon_.schedule();
  }

  void on_soon() override {
    if (stream_ == nullptr) return;
    http::ResponseHead head;
    head.status = reply_.status;
    head.headers.add(http::HeaderId::kContentType, reply_.content_type);
    head.headers.add(http::HeaderId::kCacheControl, "no-store");
    head.body = http::BodySize::exactly(reply_.body.size());
    Chain body;
    if (!is_head_) body.append_copy(reply_.body);
    stream_->send_head(head);
    stream_->send_body(std::move(body));
    stream_->send_end();
    stream_->flush();
    std::exchange(stream_, nullptr)->finish();
  }

  void on_readable() override {}
  void on_writable() override {}
  void on_broken(const Error&) override { std::exchange(stream_, nullptr)->reset(); }
  void on_rejected(const http::Rejection&) override {}
  void on_idle(bool) override {}
  void on_over() override { server_.on_over(*this); }

  ControlServer& server_;
  http::ServerStream* stream_ = nullptr;
  bool is_head_ = false;
  ControlReply reply_;
  const std::shared_ptr<Connection*> self_ = std::make_shared<Connection*>(this);
  std::unique_ptr<http::ServerConnection> connection_;
  event::Soon reply_soon_;
};

ControlServer::ControlServer(event::Loop& loop, net::ListenSocket socket, ControlHandler handler)
    : loop_(loop),
      socket_(std::move(socket)),
      handler_(std::move(handler)),
      acceptor_(loop, socket_.descriptor(), *this) {}

ControlServer::~ControlServer() = default;

void ControlServer::retire() {
  acceptor_.stop();
  for (const auto& connection : connections_) connection->drain();
}

void ControlServer::on_accepted(Fd fd, const net::SocketAddress&) {
  if (connections_.size() >= kMostConnections) return;  // a scraper gone mad; the process goes on
  auto made = std::make_unique<Connection>(*this);
  if (made->start(std::move(fd))) connections_.push_back(std::move(made));
}

void ControlServer::on_over(Connection& connection) {
  const auto at =
      std::find_if(connections_.begin(), connections_.end(),
                   [&connection](const auto& owned) { return owned.get() == &connection; });
  if (at == connections_.end()) return;
  loop_.defer_delete(std::move(*at));
  connections_.erase(at);
}

}  // namespace sluice::server
