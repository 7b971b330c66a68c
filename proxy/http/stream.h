// Stream: one request and its answer, as the exchange sees them: the same words towards clients and
// towards upstreams, for every wire protocol. Sending and receiving are two machines.
//
//   sending:    head -> body* -> end          receiving:  head -> (body*) -> end
//   either side may break off:  on_broken     we may break off:  reset()
//
// A tunnel (RFC 9110 §7.8): a request's head offers one by `upgrade`, an answer's head with status
// 101 and `upgrade` opens it, whatever this is called on the wire. From then on both bodies begin
// anew as the tunnel's bytes: send_end() is a half-close, kEnd the other side's. The codec watches
// no deadline there. Requires: the request was received and sent whole; a HEAD offers none.
//
// Sending only queues; flush() moves the queue towards the socket, so that head, body and end cost
// one write. Receiving is pulled: on_readable() says that read_body() has something, which is taken
// until it says kBlocked. Nothing is read from the socket that nobody asked for.
// The codec owns the stream. Whoever uses it says finish() (or reset()) exactly once as the last
// word; the reference is dead from then on, and no news comes after it. News never comes from
// inside a call on the stream. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "proxy/base/chain.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"

namespace sluice::http {

enum class BodyRead : uint8_t {
  kSome,     // bytes were appended; ask again
  kBlocked,  // nothing now; on_readable() will come
  kEnd,      // the message is complete; trailers() are valid. Bytes may have been appended, too
  kBroken,   // on_broken() has come or is on its way
};

class Stream {
 public:
  // -- sending --
  virtual void send_body(Chain&& bytes) = 0;
  // The message is complete. Trailers are dropped where the wire cannot carry them.
  virtual void send_end(Headers&& trailers) = 0;
  void send_end() { send_end(Headers{}); }
  virtual void flush() = 0;
  // Bytes that were queued and are not yet with the kernel. The sender holds back above its own
  // mark; on_writable() comes when a flush that was blocked has emptied the queue.
  virtual uint64_t unsent() const = 0;

  // -- receiving --
  // Appends at most about `most` bytes to `into`.
  virtual BodyRead read_body(Chain& into, uint64_t most) = 0;
  // Valid after kEnd.
  virtual Headers& trailers() = 0;

  // -- leaving --
  // All that was to be sent was queued; what is unsent still goes out, what is unread is discarded
  // (within bounds), and the connection is kept if it can be.
  virtual void finish() = 0;
  // Breaks the message off so that the other side can tell (RST, closed mid-body).
  virtual void reset() = 0;

 protected:
  ~Stream() = default;
};

class StreamEvents {
 public:
  virtual void on_readable() = 0;
  virtual void on_writable() = 0;
  // The other side left or broke the protocol, or a timeout of the codec's passed. The stream is
  // still there: say reset() (or, if an answer can still be sent, send it and finish()).
  virtual void on_broken(const Error& error) = 0;

 protected:
  ~StreamEvents() = default;
};

// -- towards a client --

class ServerStream : public Stream {
 public:
  // 1xx except 101, any number, before the head. Dropped towards HTTP/1.0.
  virtual void send_interim(const ResponseHead& head) = 0;
  // The final head. head.body says how much body follows; kUnknown is framed as the wire can.
  virtual void send_head(const ResponseHead& head) = 0;
  // After this answer the client should not send another request on this connection
  // (Connection: close; nothing on h2). Before send_head.
  virtual void close_after() = 0;
  // While a request waits: finds out whether a client that has sent its FIN is half-closed, which
  // is allowed, or has left. Where the protocol does not know, true: it was asked just now, with
  // bytes that every answer begins with, to which a client that has left replies by RST (news:
  // on_broken). That takes a round trip. Asked once; before send_head.
  virtual bool probe() { return false; }
  // The request body's rate and pauses are the codec's to watch (limits.body_*), the answer's, too.

 protected:
  ~ServerStream() = default;
};

class ServerEvents : public StreamEvents {
 public:
  // The client has sent its FIN behind its request. It may still read (ServerStream::probe).
  virtual void on_client_ended() {}

 protected:
  ~ServerEvents() = default;
};

// -- towards an upstream --

class ClientEvents : public StreamEvents {
 public:
  virtual void on_interim(ResponseHead&& head) = 0;  // 1xx but 100 and 101
  virtual void on_head(ResponseHead&& head) = 0;     // the final head; read_body() from now on

 protected:
  ~ClientEvents() = default;
};

class ClientStream : public Stream {
 public:
  // Who hears the news, from now on.
  virtual void set_events(ClientEvents& events) = 0;
  // head.body says how much body follows.
  virtual void send_head(const RequestHead& head) = 0;
  // What the proof of "never received" needs, for retries (DESIGN, law 5): asked after on_broken.
  //   kNotSent      nothing of the request reached the kernel
  //   kNotReceived  proven that the other side's FIN was sent before any of it arrived
  //   kUnknown      anything else
  enum class Delivery : uint8_t { kNotSent, kNotReceived, kUnknown };
  virtual Delivery delivery() const = 0;
  // What the application has said beside its answer since it was asked last (FastCGI's STDERR):
  // bounded, raw, for the log. Before the last word.
  virtual std::string take_remarks() { return {}; }

 protected:
  ~ClientStream() = default;
};

}  // namespace sluice::http
