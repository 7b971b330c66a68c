// What a codec's connection and its owner say to each other. ServerConnection (towards a client) is
// owned by a session, ClientConnection (towards an upstream) by a pool. Both own their transport.
// One thread. The owner destroys a connection only on a later tick than on_over()
// (loop.defer_delete).
#pragma once

#include <memory>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/event/loop.h"
#include "proxy/http/stream.h"
#include "proxy/net/transport.h"

namespace sluice::http {

// Ceilings and deadlines of client connections; the session copies them from the configuration.
struct ServerLimits {
  uint64_t request_line = 16 * 1024;
  uint64_t header_block = 64 * 1024;  // without the request line
  uint32_t header_count = 200;
  uint64_t requests = 0;                           // per connection; 0: no limit
  uint32_t streams = 0;                            // HTTP/2's at the same time; 0: not spoken
  Duration first_byte = std::chrono::seconds(60);  // connected, and nothing sent yet
  Duration header = std::chrono::seconds(10);      // first byte of a head to its last
  Duration idle = std::chrono::seconds(75);        // between requests
  Duration body = std::chrono::seconds(30);        // between two reads of a body
  uint64_t body_rate = 0;  // bytes a second, averaged from the 10th second on; 0: none
  uint64_t send_rate = 0;  // the same of an answer, while the client does not take all there is
  Duration send = std::chrono::seconds(30);   // between two writes
  Duration ping = std::chrono::seconds(60);   // HTTP/2, silent with requests: asked; 0: never
  Duration linger = std::chrono::seconds(5);  // after our FIN, for the client's
  uint64_t linger_bytes = 1 << 20;            // discarded at most while lingering
};

// A request that the codec answered by itself because nobody above may see it.
struct Rejection {
  int status = 400;
  std::string_view reason;  // for log and dropped_total: "malformed_header", "version", ...
  std::string_view method;  // as far as they were understood; may be empty
  std::string_view target;
  Version version = Version::kHttp11;
};

// How a request of a connection that carries many at once came to its end.
enum class StreamEnd : uint8_t {
  kAnswered,
  kClientReset,  // the client took it back
  kReset,        // broken off by us: malformed, cut, too slow, or with the connection
  kRefused,      // never looked at: above a ceiling, or after the farewell
};

class ServerOwner {
 public:
  // A whole head is in. Answers who hears of this stream from now on.
  virtual ServerEvents& on_request(ServerStream& stream, RequestHead&& head) = 0;
  virtual void on_rejected(const Rejection& rejection) = 0;
  // A ceiling was met (static text), whether or not it cost a request. For the books, as the next:
  // both may come from inside any call, and order nothing.
  virtual void on_limit(std::string_view limit) { static_cast<void>(limit); }
  virtual void on_stream_over(StreamEnd end) { static_cast<void>(end); }
  // The first bytes are HTTP/2's (http/h2_server): the owner goes on with the transport and what
  // was read from it. The connection that says so is over; destroy it on a later tick.
  virtual void on_h2(std::unique_ptr<net::Transport> transport, std::string_view already_read) {
    static_cast<void>(transport), static_cast<void>(already_read);  // limits.streams is 0
  }
  // Between requests with nothing in the buffers (true), or no longer (false): for the owner's
  // books; it may come from inside finish(), and order nothing.
  virtual void on_idle(bool idle) = 0;
  // The connection is closed. Destroy it on a later tick.
  virtual void on_over() = 0;

 protected:
  ~ServerOwner() = default;
};

// How a client's connection came to its end, for the books: accepted = open + ended.
enum class Ending : uint8_t {
  kOpen,     // it has not
  kClient,   // the client closed or was lost first
  kAnswer,   // with an answer that said so, or that was cut
  kTimeout,  // idle, silent or slow for too long
  kOrder,    // close()
};

class ServerConnection : public event::Deferred {
 public:
  // Announce the end with the next answer (Connection: close, GOAWAY); never close an idle
  // HTTP/1.1 connection first (DESIGN, law 3). Taken back with `false` where it was not said yet.
  virtual void drain(bool draining) = 0;
  // Takes no more requests, and closes politely once those that run are answered. A connection
  // that has one request at a time says so with its answer (drain).
  virtual void retire() { drain(true); }
  // Close now: idle ones politely, running ones cut; a head that is not whole is answered 503 and
  // rejected for this reason (static text). Not an idle one that has unread bytes: they may be a
  // request, which is served.
  virtual void close(std::string_view reason) = 0;
  // Requires: on_over() has come.
  virtual Ending ending() const = 0;
  // For another process to go on with (SCM_RIGHTS): the socket of a plain connection between two
  // requests, nothing of it read and nothing unsent. -1: not now, or not this kind.
  virtual int idle_descriptor() const { return -1; }
  virtual uint32_t requests() const { return 0; }  // begun so far
  // Bytes of memory for what was read and not used yet, and for what the client does not take.
  virtual uint64_t held() const { return 0; }
};

class ClientOwner {
 public:
  // The stream that was leased is over; the connection may be leased again if `reusable`, else it
  // is over, too (on_over() does not follow). Comes from inside finish() and reset(): the owner
  // takes it back, and nobody waiting is called before a later tick.
  virtual void on_stream_over(bool reusable) = 0;
  // While idle: the other side closed, or sent what nobody asked for. Destroy on a later tick.
  virtual void on_over() = 0;
  // After hold_rest(): the first bytes are out, by this socket. False: go on with the rest at once.
  virtual bool on_begun(int descriptor) { return static_cast<void>(descriptor), false; }

 protected:
  ~ClientOwner() = default;
};

struct ClientLimits {
  uint64_t header_block = 256 * 1024;
  uint32_t header_count = 1000;
  uint32_t interim = 100;                    // 1xx per answer
  Duration send = std::chrono::seconds(60);  // between two writes
};

class ClientConnection : public event::Deferred {
 public:
  // A stream for one request. Requires: no stream is leased (h1, uwsgi).
  virtual ClientStream& lease() = 0;
  // What the connection begins with, before its first request: a PROXY header. Goes out with that.
  // Requires: nothing was leased.
  virtual void begin_with(std::string_view preface) = 0;
  // No stream leased, nothing unread, the other side has not closed.
  virtual bool is_idle() const = 0;
  virtual uint64_t requests() const = 0;  // leased so far
  // Only the first bytes of the request that is leased go out, until release_rest(): what is not
  // complete cannot be executed, so its fate is known however the connection ends. Not every
  // protocol does it.
  virtual void hold_rest() {}
  virtual void release_rest() {}
};

}  // namespace sluice::http
