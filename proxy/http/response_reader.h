// ResponseReader: the receiving half of a client codec whose answers are HTTP/1.x: bytes of a
// transport become interim heads, the final head and the body. Shared by h1, uwsgi and FastCGI,
// whose records are taken off first. A member of its client; says what came, and calls nobody.
#pragma once

#include <string>

#include "proxy/http/body_decoder.h"
#include "proxy/http/connection.h"
#include "proxy/http/fastcgi_records.h"
#include "proxy/http/intake.h"
#include "proxy/net/transport.h"

namespace sluice::http {

class ResponseReader {
 public:
  // kCgi: a status line, or field lines at once with the status in "Status" (RFC 3875 §6.3.3).
  enum class Dialect : uint8_t { kHttp1, kCgi };
  enum class Step : uint8_t { kBlocked, kInterim, kHead, kBroken };

  // With records the answer comes in them. Requires: limits and records outlive the reader.
  ResponseReader(const ClientLimits& limits, Dialect dialect, FastcgiAnswer* records = nullptr)
      : limits_(limits), dialect_(dialect), records_(records) {}

  // A request is about to be sent.
  void begin(const RequestHead& request);
  // Reads up to the next head. 100 is swallowed: nobody above waits for it. Requires: `into` is as
  // made.
  Step next_head(net::Transport& transport, ResponseHead& into);
  // Requires: next_head() has said kHead.
  BodyRead read_body(net::Transport& transport, Chain& into, uint64_t most);
  Headers& trailers() { return decoder_.trailers(); }
  // Why it is kBroken.
  const Error& error() const { return error_; }

  // A byte of this answer has come.
  bool has_begun() const { return begun_; }
  // The other side sent its FIN before a byte of this answer.
  bool ended_unanswered() const { return ended_ && !begun_; }
  // The other side has said that it does not carry the request out.
  bool is_refusal() const { return records_ != nullptr && records_->is_refusal(); }
  // The answer is whole, nothing came behind it, and the other side keeps the connection. May read
  // once, when the transport cannot tell that nothing is there.
  bool is_reusable(net::Transport& transport);
  // Gives memory back between requests.
  void rest();

 private:
  HeadResult<size_t> parse(ResponseHead& into);
  HeadResult<size_t> parse_cgi(std::string_view bytes, const HeadLimits& limits,
                               ResponseHead& into);
  HeadResult<void> accept(ResponseHead& head);
  // True: bytes came. False: blocked, or broken (error_ is set).
  enum class Filled : uint8_t { kSome, kBlocked, kEnd, kBroken };
  Filled fill(net::Transport& transport);
  Filled fill_from_records(net::Transport& transport);
  bool is_kept(net::Transport& transport);
  void break_off(const HeadFault& fault);

  const ClientLimits& limits_;
  const Dialect dialect_;
  FastcgiAnswer* const records_;  // null: the bytes are the answer
  Intake in_;
  size_t scanned_ = 0;
  BodyDecoder decoder_;
  Error error_;
  std::string upgrade_;  // what the request asked for; usually empty
  uint32_t interims_ = 0;
  bool to_head_ = false;
  bool begun_ = false;
  bool ended_ = false;
  bool keep_alive_ = false;
  bool is_whole_ = false;
};

}  // namespace sluice::http
