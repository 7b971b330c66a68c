#include "proxy/http/head_writer.h"

#include <array>
#include <charconv>
#include <cstring>

#include "proxy/base/assert.h"
#include "proxy/http/conditional.h"

namespace sluice::http {
namespace {

// Above the longest of what is written besides the head's own bytes: lines of framing, connection,
// date, and all the fixed text.
constexpr size_t kFixed = 256;

// Writes into room that was measured before.
class Pen {
 public:
  Pen(Chain& out, size_t room) : out_(out), begin_(out.prepare(room)), at_(begin_), room_(room) {}
  ~Pen() {
    SLUICE_ASSERT(static_cast<size_t>(at_ - begin_) <= room_);
    out_.commit(static_cast<size_t>(at_ - begin_));
  }
  Pen(const Pen&) = delete;
  Pen& operator=(const Pen&) = delete;

  Pen& put(std::string_view text) {
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  Pen& put_number(uint64_t number, int base = 10) {
    at_ = std::to_chars(at_, at_ + 24, number, base).ptr;
    return *this;
  }
  void put_field(std::string_view name, std::string_view value) {
    put(name).put(": ").put(value).put("\r\n");
  }

 private:
  Chain& out_;
  char* begin_;
  char* at_;
  size_t room_;
};

size_t size_of(const Headers& headers) {
  size_t size = 0;
  for (const Headers::Field& field : headers) size += field.name.size() + field.value.size() + 4;
  return size;
}

void put_connection(Pen& pen, const WireFraming& framing, std::string_view upgrade) {
  if (!upgrade.empty()) {
    pen.put("Connection: upgrade\r\n").put_field("Upgrade", upgrade);
  } else if (framing.close) {
    pen.put("Connection: close\r\n");
  } else if (framing.keep_alive) {
    pen.put("Connection: keep-alive\r\n");
  }
}

void put_length(Pen& pen, uint64_t length) {
  pen.put("Content-Length: ").put_number(length).put("\r\n");
}

// RFC 9110 §8.6: these are expected to carry content, so that there is none is said.
bool means_content(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

// "HTTP/1.1 200 OK\r\n" is most of what is ever said.
void put_status_line(Pen& pen, const ResponseHead& head, bool begun) {
  const std::string_view reason = head.reason.empty() ? reason_of(head.status) : head.reason;
  pen.put(begun ? std::string_view{} : kProtocol)
      .put_number(static_cast<uint64_t>(head.status))
      .put(" ")
      .put(reason)
      .put("\r\n");
}

void put_response_framing(Pen& pen, const ResponseHead& head, const WireFraming& framing) {
  // RFC 9110 §8.6, RFC 9112 §6.1: neither field with 1xx and 204.
  if (head.status < 200 || head.status == 204) return;
  if (head.declared_length && head.body.is_none()) {
    put_length(pen, *head.declared_length);
  } else if (head.body.kind == BodySize::Kind::kExact) {
    put_length(pen, head.body.length);
  } else if (framing.chunked) {
    pen.put("Transfer-Encoding: chunked\r\n");
  } else if (head.body.is_none() && head.status != 304 && !framing.to_head) {
    put_length(pen, 0);
  }
}

}  // namespace

void write_request_head(const RequestHead& head, const WireFraming& framing, Chain& out) {
  Pen pen(out, kFixed + head.method.size() + head.target.size() + head.authority.size() +
                   head.upgrade.size() + size_of(head.headers));
  pen.put(head.method).put(" ").put(head.target).put(" HTTP/1.1\r\n");
  // RFC 9112 §3.2: first. A field that a filter has set is newer than what the client asked for;
  // without any, an empty one is due in HTTP/1.1.
  const Headers::Field* host = head.headers.find(HeaderId::kHost);
  pen.put_field("Host", host == nullptr ? head.authority : host->value);
  for (const Headers::Field& field : head.headers) {
    if (field.id != HeaderId::kHost) pen.put_field(field.name, field.value);
  }
  if (framing.chunked) {
    pen.put("Transfer-Encoding: chunked\r\n");
  } else if (head.body.kind == BodySize::Kind::kExact) {
    put_length(pen, head.body.length);
  } else if (means_content(head.method) && head.body.is_none()) {
    put_length(pen, 0);
  }
  put_connection(pen, framing, head.upgrade);
  pen.put("\r\n");
}

void write_response_head(const ResponseHead& head, const WireFraming& framing,
                         std::string_view date, Chain& out) {
  Pen pen(out,
          kFixed + head.reason.size() + head.upgrade.size() + date.size() + size_of(head.headers));
  put_status_line(pen, head, framing.begun);
  for (const Headers::Field& field : head.headers) pen.put_field(field.name, field.value);
  if (!date.empty() && !head.headers.has(HeaderId::kDate)) pen.put_field("Date", date);
  put_response_framing(pen, head, framing);
  put_connection(pen, framing, head.upgrade);
  pen.put("\r\n");
}

void write_chunk_size(uint64_t size, Chain& out) {
  Pen pen(out, 32);
  pen.put_number(size, 16).put("\r\n");
}

void write_last_chunk(const Headers& trailers, Chain& out) {
  Pen pen(out, 8 + size_of(trailers));
  pen.put("0\r\n");
  for (const Headers::Field& field : trailers) pen.put_field(field.name, field.value);
  pen.put("\r\n");
}

std::string_view http_date(TimePoint now) {
  struct Cached {
    TimePoint from;
    TimePoint until;
    std::array<char, kHttpDateSize> text;
  };
  thread_local Cached cached{};
  // Both ends: a test's clock may go back.
  if (now < cached.from || now >= cached.until) {
    const WallTime wall = wall_now();
    const auto second = std::chrono::floor<std::chrono::seconds>(wall);
    format_http_date(second.time_since_epoch().count(), cached.text.data());
    cached.from = now;
    cached.until = now + std::chrono::seconds(1) - (wall - second);
  }
  return {cached.text.data(), cached.text.size()};
}

}  // namespace sluice::http
