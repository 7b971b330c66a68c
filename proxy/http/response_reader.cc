#include "proxy/http/response_reader.h"

#include <algorithm>
#include <utility>

#include "proxy/base/text.h"

namespace sluice::http {
namespace {

constexpr size_t kSlack = 8 * 1024;
constexpr size_t kStatusLine = 16 * 1024;

bool is_about_size(std::string_view reason) {
  return reason == "headers_too_large" || reason == "too_many_headers";
}

}  // namespace

void ResponseReader::begin(const RequestHead& request) {
  scanned_ = 0;
  interims_ = 0;
  upgrade_ = records_ == nullptr ? request.upgrade : std::string_view{};  // no answer switches
  to_head_ = request.is("HEAD");
  begun_ = ended_ = keep_alive_ = is_whole_ = false;
}

ResponseReader::Step ResponseReader::next_head(net::Transport& transport, ResponseHead& into) {
  for (;;) {
    if (!in_.empty()) {
      begun_ = true;
      const auto taken = parse(into);
      if (!taken) return break_off(taken.error()), Step::kBroken;
      if (*taken > 0) {
        in_.consume(*taken);
        if (const auto accepted = accept(into); !accepted) {
          return break_off(accepted.error()), Step::kBroken;
        }
        if (into.status == 100) {
          into = ResponseHead{};
          continue;
        }
        return into.status < 200 && into.status != 101 ? Step::kInterim : Step::kHead;
      }
    }
    switch (fill(transport)) {
      case Filled::kSome: continue;
      case Filled::kBlocked: in_.rest(); return Step::kBlocked;
      case Filled::kBroken: return Step::kBroken;
      case Filled::kEnd:
        error_ = {ErrorCode::kClosed, Side::kUpstream,
                  begun_ ? "closed within the head of an answer" : "closed without an answer"};
        return Step::kBroken;
    }
  }
}

HeadResult<size_t> ResponseReader::parse(ResponseHead& into) {
  const HeadLimits limits{kStatusLine, limits_.header_block, limits_.header_count};
  const std::string_view bytes = in_.bytes();
  constexpr std::string_view kStart = "HTTP/";
  const bool has_status_line = bytes.substr(0, kStart.size()) == kStart.substr(0, bytes.size());
  if (dialect_ == Dialect::kHttp1 || has_status_line) {
    return parse_response_head(bytes, limits, scanned_, into);
  }
  return parse_cgi(bytes, limits, into);
}

HeadResult<size_t> ResponseReader::parse_cgi(std::string_view bytes, const HeadLimits& limits,
                                             ResponseHead& into) {
  const auto taken = parse_trailers(bytes, limits, scanned_, into.headers);
  if (!taken || *taken == 0) return taken;
  // RFC 3875 §6.3: an answer has one field at least; without Status it is 200, or 302 by Location.
  if (into.headers.empty()) return tl::unexpected(HeadFault{502, "malformed_status_line"});
  into.status = into.headers.has(HeaderId::kLocation) ? 302 : 200;
  into.version = Version::kHttp11;
  const std::string_view status = into.headers.get("Status");
  if (!status.empty()) {
    const auto code = parse_decimal(status.substr(0, 3));
    const bool ends = status.size() == 3 || (status.size() > 3 && status[3] == ' ');
    if (!code || !ends || *code < 200 || *code > 599) {
      return tl::unexpected(HeadFault{502, "malformed_status_line"});
    }
    into.status = static_cast<int>(*code);
    into.reason = trim_ows(status.substr(3));
    into.headers.remove("Status");
  }
  return taken;
}

HeadResult<void> ResponseReader::accept(ResponseHead& head) {
  scanned_ = 0;
  const auto framing = frame_response(head, to_head_ ? "HEAD" : "GET", upgrade_);
  if (!framing) return tl::unexpected(framing.error());
  if (head.status < 200 && head.status != 101) {
    if (++interims_ <= limits_.interim) return {};
    return tl::unexpected(HeadFault{502, "too_many_interim_heads"});
  }
  keep_alive_ = framing->keep_alive && head.status != 101;
  const HeadLimits trailers{kStatusLine, limits_.header_block, limits_.header_count};
  // After 101 the bytes are no longer HTTP and end with the connection.
  const auto body = head.status == 101 ? BodyFraming::kUntilClose : framing->body;
  decoder_.begin(body, head.body.length, trailers);
  is_whole_ = decoder_.is_complete();
  return {};
}

BodyRead ResponseReader::read_body(net::Transport& transport, Chain& into, uint64_t most) {
  if (is_whole_) return BodyRead::kEnd;
  const uint64_t before = into.size();
  for (;;) {
    if (!in_.empty()) {
      const auto wanted = in_.bytes().substr(0, static_cast<size_t>(std::max<uint64_t>(most, 1)));
      const auto taken = decoder_.decode(in_.block(), wanted, into);
      if (!taken) return break_off(taken.error()), BodyRead::kBroken;
      in_.consume(*taken);
      if (decoder_.is_complete()) break;
      if (into.size() > before) return BodyRead::kSome;
      if (!in_.empty()) continue;
    }
    const Filled filled = fill(transport);
    if (filled == Filled::kSome) continue;
    if (filled == Filled::kBlocked) return in_.rest(), BodyRead::kBlocked;
    if (filled == Filled::kBroken) return BodyRead::kBroken;
    if (decoder_.on_end()) break;
    error_ = {ErrorCode::kClosed, Side::kUpstream, "closed within the body"};
    return BodyRead::kBroken;
  }
  is_whole_ = true;
  keep_only_trailer_fields(decoder_.trailers());
  return BodyRead::kEnd;
}

ResponseReader::Filled ResponseReader::fill(net::Transport& transport) {
  if (ended_) return Filled::kEnd;
  if (records_ != nullptr) return fill_from_records(transport);
  const net::Io io = in_.fill(transport, kStatusLine + limits_.header_block + kSlack);
  switch (io.state) {
    case net::Io::State::kOk: return Filled::kSome;
    case net::Io::State::kBlocked: return Filled::kBlocked;
    case net::Io::State::kEnd: ended_ = true; return Filled::kEnd;
    case net::Io::State::kFailed: break;
  }
  error_ = error_from_errno(io.error_number, Side::kUpstream, "read");
  return Filled::kBroken;
}

// What ends an answer is END_REQUEST: who closes before that has not finished it.
ResponseReader::Filled ResponseReader::fill_from_records(net::Transport& transport) {
  for (;;) {
    if (records_->is_broken()) {
      error_ = records_->error();
      return Filled::kBroken;
    }
    if (records_->is_over()) {
      ended_ = true;
      return Filled::kEnd;
    }
    const net::Io io = in_.fill(transport, kStatusLine + limits_.header_block + kSlack);
    if (io.state == net::Io::State::kBlocked) return Filled::kBlocked;
    if (io.state == net::Io::State::kEnd) {
      ended_ = true;
      if (!begun_) return Filled::kEnd;
      error_ = {ErrorCode::kClosed, Side::kUpstream, "closed before END_REQUEST"};
      return Filled::kBroken;
    }
    if (io.state == net::Io::State::kFailed) {
      error_ = error_from_errno(io.error_number, Side::kUpstream, "read");
      return Filled::kBroken;
    }
    begun_ = true;
    const size_t kept = records_->take(in_.tail(io.count), io.count);
    in_.drop_tail(io.count - kept);
    if (kept > 0) return Filled::kSome;
  }
}

void ResponseReader::break_off(const HeadFault& fault) {
  const auto code = is_about_size(fault.reason) ? ErrorCode::kTooLarge : ErrorCode::kMalformed;
  error_ = {code, Side::kUpstream, std::string(fault.reason)};
}

bool ResponseReader::is_reusable(net::Transport& transport) {
  if (!is_whole_ || !in_.empty() || !is_kept(transport)) return false;
  if (!transport.may_be_readable()) return true;
  // More than the answer, or a FIN: the next request would get what is not its own.
  char byte = 0;
  return transport.read(&byte, 1).state == net::Io::State::kBlocked;
}

bool ResponseReader::is_kept(net::Transport& transport) {
  if (records_ == nullptr) return keep_alive_ && !ended_;
  // An answer that is whole by its length, or has no body, leaves END_REQUEST to be read.
  if (!records_->is_over()) fill_from_records(transport);
  return records_->is_over() && !records_->is_strange() && in_.empty();
}

void ResponseReader::rest() {
  in_.clear();
  decoder_.rest();
}

}  // namespace sluice::http
