#include "proxy/server/fetch.h"

#include "proxy/config/http_url.h"
#include "proxy/http/h1_client.h"

namespace sluice::server {
namespace {

constexpr uint64_t kPerRead = 64 * 1024;

}  // namespace

Result<FetchRequest> fetch_of(std::string_view url) {
  auto parsed = config::parse_http_url(url);
  if (!parsed) return tl::unexpected(parsed.error());
  FetchRequest request;
  request.address = std::move(parsed->address);
  request.host = std::move(parsed->authority);
  request.target = std::move(parsed->target);
  return request;
}

Fetch::Fetch(event::Loop& loop, FetchRequest request, Done done)
    : loop_(loop),
      request_(std::move(request)),
      done_(std::move(done)),
      dialer_(loop, *this),
      deadline_(loop.timers(), *this),
      soon_(loop, *this) {
  begin();
}

Fetch::~Fetch() {
  leave();
}

void Fetch::begin() {
  auto address = net::SocketAddress::from(request_.address);
  if (!address) return settle(tl::unexpected(address.error()));
  deadline_.arm(request_.timeout);
  dialer_.dial(*address, request_.timeout);
}

void Fetch::on_connected(std::unique_ptr<net::Transport> transport) {
  http::ClientOwner& owner = *this;
  connection_ =
      std::make_unique<http::H1Client>(std::move(transport), loop_.timers(), limits_, owner);
  stream_ = &connection_->lease();
  http::ClientEvents& events = *this;
  stream_->set_events(events);
  ask();
}

void Fetch::on_dial_failed(const Error& error) {
  settle(tl::unexpected(error));
}

void Fetch::ask() {
  http::RequestHead head;
  head.method = "GET";
  head.target = request_.target;
  head.authority = request_.host;
  head.headers.add(http::HeaderId::kUserAgent, "sluice");
  head.headers.add(http::HeaderId::kAccept, "*/*");
  for (const auto& [name, value] : request_.headers) head.headers.add(name, value);
  stream_->send_head(head);
  stream_->send_end();
  stream_->flush();
}

void Fetch::on_head(http::ResponseHead&& head) {
  answer_.status = head.status;
  answer_.etag = head.headers.get(http::HeaderId::kETag);
  take_body();
}

void Fetch::take_body() {
  while (!result_ && stream_ != nullptr) {
    Chain bytes;
    const http::BodyRead read = stream_->read_body(bytes, kPerRead);
    answer_.body += bytes.to_string();
    if (answer_.body.size() > request_.most) {
      return settle(fail(ErrorCode::kTooLarge, Side::kUpstream,
                         "the answer is larger than " + std::to_string(request_.most) + " bytes"));
    }
    if (read == http::BodyRead::kEnd) return settle(std::move(answer_));
    if (read != http::BodyRead::kSome) return;  // kBroken: on_broken() comes
  }
}

void Fetch::on_broken(const Error& error) {
  settle(tl::unexpected(error));
}

void Fetch::on_timer(event::Timer&) {
  settle(fail(ErrorCode::kTimeout, Side::kUpstream,
              "no answer from " + request_.address.text + " in time"));
}

void Fetch::settle(Result<FetchAnswer> result) {
  if (result_) return;
  result_ = std::move(result);
  deadline_.cancel();
  soon_.schedule();
}

// Nothing below is on the stack here, and nothing of this is touched after done_: it may be gone.
void Fetch::on_soon() {
  leave();
  const Done done = done_;
  done(std::move(*result_));
}

void Fetch::leave() {
  if (stream_ != nullptr) stream_->reset();
  if (connection_ != nullptr) loop_.defer_delete(std::move(connection_));
}

}  // namespace sluice::server
