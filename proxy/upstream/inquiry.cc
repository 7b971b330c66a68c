#include "proxy/upstream/inquiry.h"

#include <algorithm>
#include <utility>

#include "proxy/http/fastcgi_client.h"
#include "proxy/http/h1_client.h"
#include "proxy/http/uwsgi_client.h"
#include "proxy/net/proxy_header.h"

namespace sluice::upstream {
namespace {

constexpr uint64_t kPiece = 16 * 1024;

bool is_refusal(ErrorCode code) {
  return code == ErrorCode::kRefused || code == ErrorCode::kNotFound;
}

// A backlog that is full is no sign of absence, whatever else it is.
bool is_no_way(ErrorCode code) {
  return code == ErrorCode::kTimeout || code == ErrorCode::kUnreachable;
}

}  // namespace

Inquiry::Inquiry(event::Loop& loop, std::shared_ptr<Endpoint> endpoint, Question question,
                 InquiryEvents& events)
    : loop_(loop),
      endpoint_(std::move(endpoint)),
      question_(std::move(question)),
      events_(events),
      began_(steady_now()),
      timer_(loop.timers(), *this),
      dialer_(loop, *this) {
  timer_.arm(question_.timeout);
  dialer_.dial(endpoint_->address(), question_.timeout);
}

Inquiry::~Inquiry() {
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->reset();
}

void Inquiry::on_connected(std::unique_ptr<net::Transport> transport) {
  if (state_ != State::kDialling) return;
  if (question_.connect_only) return conclude(InquiryResult::Kind::kAnswered);
  state_ = State::kAsking;
  http::ClientOwner& owner = *this;
  const int descriptor = transport->descriptor();
  if (question_.protocol == config::Protocol::kUwsgi) {
    codec_ =
        std::make_unique<http::UwsgiClient>(std::move(transport), loop_.timers(), limits_, owner);
  } else if (question_.protocol == config::Protocol::kFastcgi) {
    codec_ = std::make_unique<http::FastcgiClient>(std::move(transport), loop_.timers(), limits_,
                                                   question_.fastcgi, owner);
  } else {
    codec_ = std::make_unique<http::H1Client>(std::move(transport), loop_.timers(), limits_, owner);
  }
  if (question_.proxy_protocol != config::ProxyVersion::kOff) {
    codec_->begin_with(net::write_own_proxy_header(
        question_.proxy_protocol, net::SocketAddress::of_local(descriptor).ip_port(),
        endpoint_->address().ip_port()));
  }
  stream_ = &codec_->lease();
  stream_->set_events(*this);
  ask();
}

void Inquiry::on_dial_failed(const Error& error) {
  if (state_ != State::kDialling) return;
  const auto kind = is_refusal(error.code)  ? InquiryResult::Kind::kRefused
                    : is_no_way(error.code) ? InquiryResult::Kind::kUnreached
                                            : InquiryResult::Kind::kFailed;
  conclude(kind, error.detail);
}

void Inquiry::ask() {
  http::RequestHead head;
  head.method = question_.method;
  head.target = question_.target;
  head.path = head.target.substr(0, head.target.find('?'));
  if (head.path.size() < head.target.size()) head.query = head.target.substr(head.path.size() + 1);
  head.authority = question_.host;
  head.origin.client_address = "127.0.0.1";
  head.origin.server_address = "127.0.0.1";
  head.origin.server_port = 80;
  head.headers.add(http::HeaderId::kUserAgent, question_.user_agent);
  head.headers.add(http::HeaderId::kConnection, "close");
  stream_->send_head(head);
  stream_->send_end();
  stream_->flush();
}

void Inquiry::on_head(http::ResponseHead&& head) {
  state_ = State::kReading;
  result_.status = head.status;
  on_readable();
}

// To its end, wanted or not: an application whose answer is not taken writes lines into its log.
void Inquiry::on_readable() {
  if (state_ != State::kReading) return;
  for (;;) {
    Chain bytes;
    const http::BodyRead read = stream_->read_body(bytes, kPiece);
    if (read == http::BodyRead::kBroken) return;  // on_broken() comes
    const uint64_t room = kMostBody - std::min<uint64_t>(result_.body.size(), kMostBody);
    const bool is_full = bytes.size() >= room;
    if (bytes.size() > room) bytes = bytes.take_front(room);
    if (!bytes.empty()) result_.body += bytes.to_string();
    if (read == http::BodyRead::kEnd || is_full) return conclude(InquiryResult::Kind::kAnswered);
    if (read == http::BodyRead::kBlocked) return;
  }
}

void Inquiry::on_broken(const Error& error) {
  conclude(InquiryResult::Kind::kFailed, error.detail);
}

void Inquiry::on_timer(event::Timer&) {
  if (state_ == State::kDialling) return conclude(InquiryResult::Kind::kUnreached, "timed out");
  conclude(InquiryResult::Kind::kFailed,
           state_ == State::kAsking ? "no answer in time" : "no whole answer in time");
}

void Inquiry::conclude(InquiryResult::Kind kind, std::string detail) {
  if (state_ == State::kOver) return;
  state_ = State::kOver;
  timer_.cancel();
  if (http::ClientStream* stream = std::exchange(stream_, nullptr)) {
    if (kind == InquiryResult::Kind::kAnswered) {
      stream->finish();
    } else {
      stream->reset();
    }
  }
  result_.kind = kind;
  result_.detail = std::move(detail);
  events_.on_answered(*this, result_);
}

// The connection goes with the inquiry.
void Inquiry::on_stream_over(bool) {}

}  // namespace sluice::upstream
