// What an H2Server holds of one request, from its HEADERS until it is over for nghttp2 (closed) and
// for its exchange (finished), whichever comes last. Only h2_server*.cc may see this.
#pragma once

#include <optional>

#include "proxy/base/recycled.h"
#include "proxy/http/h2_head.h"
#include "proxy/http/h2_server.h"

namespace sluice::http {

struct H2Server::Stream final : ServerStream, Recycled<H2Server::Stream> {
  enum class Sending : uint8_t { kHead, kBody, kEnd };
  // kWanted: read_body() said kBlocked, on_readable() is owed. Only then the client's clock runs.
  enum class Receiving : uint8_t { kBody, kWanted, kEnd, kBroken };

  Stream(H2Server& its_server, int32_t its_id) : server(its_server), id(its_id) {}

  void send_interim(const ResponseHead& answer) override;
  void send_head(const ResponseHead& answer) override;
  void close_after() override;
  bool probe() override;
  void send_body(Chain&& bytes) override;
  void send_end(Headers&& its_trailers) override;
  void flush() override;
  uint64_t unsent() const override { return out.size(); }
  BodyRead read_body(Chain& into, uint64_t most) override;
  Headers& trailers() override { return fields.trailers(); }
  void finish() override;
  void reset() override;

  // The first `size` bytes of out in memory: files are read here, so that a frame is one piece of
  // the write. False: the file is shorter than was promised.
  bool load(size_t size);
  void stop_waiting();
  bool has_news() const {
    return head_due || news || (events != nullptr && (readable_due || writable_due || ended_due));
  }
  bool is_received() const { return receiving == Receiving::kEnd; }

  H2Server& server;
  const int32_t id;
  uint32_t index = 0;  // in the server's streams_
  H2Head fields;
  ServerEvents* events = nullptr;  // null: nobody yet, or no longer

  Sending sending = Sending::kHead;
  Chain out;  // bounded by whoever sends: it holds back above its mark
  Headers last_fields;
  uint64_t unsent_length = 0;
  bool counts_length = false;
  bool bodyless = false;  // HEADERS end the answer
  bool deferred = false;  // nghttp2 waits for bytes
  bool dribbles = false;  // its last DATA was a few bytes, as its window had no more
  bool end_framed = false;
  bool blocked = false;  // flush() left something; on_writable() is owed
  TimePoint send_deadline = TimePoint::max();

  Receiving receiving = Receiving::kBody;
  Chain in;  // bounded by its window
  uint64_t received = 0;
  bool in_ended = false;  // END_STREAM came
  bool wide = false;
  bool continue_owed = false;
  bool to_head = false;
  Duration waited{0};
  TimePoint waiting_since;
  TimePoint body_deadline = TimePoint::max();

  bool due = false;           // in the server's due_
  std::optional<Error> news;  // on_broken() on its way
  bool head_due = false;
  bool begun = false;  // somebody above has heard of it
  bool readable_due = false;
  bool writable_due = false;
  bool ended_due = false;
  bool client_reset = false;  // RST_STREAM came
  bool by_us = false;         // RST_STREAM went
  bool closed = false;        // for nghttp2
  bool closed_told = false;
  bool finished = false;  // for its exchange
};

}  // namespace sluice::http
