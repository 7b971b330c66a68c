// TlsTransport: a client's connection over TLS. See transport.h for the contract; before it holds,
// the handshake: shake() with each news until it is over. Owns the descriptor; registered with the
// loop once, at birth. OpenSSL sees the socket through us, so that a FIN or a reset is told as what
// it is and spoils nothing that can still be written.
//
//   kBlocked -> kDone -> (read, write, shutdown_write)
//       |-> kFailed: an alert went out; discard() until the client has read it
//       |-> kPlain: no TLS at all; take_plain() and speak to it in its own tongue
//       '-> kLeft: the client closed, or was lost
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/fd.h"
#include "proxy/base/recycled.h"
#include "proxy/event/loop.h"
#include "proxy/net/tls_context.h"
#include "proxy/net/transport.h"

namespace sluice::net {

class TlsTransport final : public Transport,
                           public Recycled<TlsTransport>,
                           private event::IoEvents {
 public:
  enum class Shake : uint8_t { kBlocked, kDone, kFailed, kPlain, kLeft };

  // Takes a connected non-blocking socket and what was read from it before. Requires: set_events()
  // before this tick ends; no news comes earlier.
  static Result<std::unique_ptr<TlsTransport>> accept(event::Loop& loop, Fd fd,
                                                      std::shared_ptr<const TlsContext> context,
                                                      std::string already_read = {});

  Shake shake();
  // The client has sent something: it is not just looking whether we are there.
  bool has_begun() const { return begun_; }
  // After kFailed: in OpenSSL's words.
  const std::string& why() const { return why_; }
  // After kFailed: our FIN, and what still comes is thrown away, a block a time.
  enum class Discard : uint8_t { kSome, kBlocked, kEnd };
  void end_output();
  Discard discard();
  // After kPlain: the socket, and what was read from it. Nothing else may follow.
  Fd take_plain(std::string& read);

  // -- after kDone --
  std::string_view protocol() const;  // by ALPN; empty: none was offered
  bool is_resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  bool is_version13() const { return SSL_version(ssl_.get()) == TLS1_3_VERSION; }
  std::optional<CertificateFacts> client_certificate() const;

  void set_events(TransportEvents& events) override { events_ = &events; }
  Io read(char* into, size_t room) override;
  Io write(Chain& bytes) override;
  void shutdown_write() override;
  bool may_be_readable() const override { return unread_ == Unread::kSome || pending_; }
  int descriptor() const override { return fd_.get(); }
  bool is_reset() override;
  bool is_secure() const override { return true; }

 private:
  enum class Unread : uint8_t { kNone, kDoubtful, kSome };  // as in plain_transport.h

  TlsTransport(Fd fd, std::shared_ptr<const TlsContext> context, std::string already_read);
  bool attach();
  void on_io(event::IoReady ready) override;
  Io failed_read(int result);
  Io failed_write(int result);
  Io write_some(Chain& bytes, BlockRef& scratch);
  Io write_file(Chain& bytes);
  std::optional<std::string_view> next_record(const Chain& bytes, BlockRef& scratch) const;

  // OpenSSL's view of the socket.
  static BIO_METHOD* method();
  static int on_receive(BIO* bio, char* into, int room) noexcept;
  static int on_send(BIO* bio, const char* from, int size) noexcept;
  int receive(char* into, int room);
  int send(const char* from, int size);

  Fd fd_;
  const std::shared_ptr<const TlsContext> context_;
  TlsHandle<SSL> ssl_;
  TransportEvents* events_ = nullptr;
  std::string early_;  // read before OpenSSL wanted it, or not TLS
  std::string why_;
  int receive_error_ = 0;
  int send_error_ = 0;
  Unread unread_ = Unread::kNone;
  bool begun_ = false;
  bool plain_ = false;    // the first byte is a letter
  bool pending_ = false;  // OpenSSL may have bytes that no news will come of
  bool ended_ = false;    // a FIN may be queued behind the bytes
  bool doubted_ = false;  // the last news may have been of a reset, too
  bool received_fin_ = false;
  bool broken_ = false;  // TLS failed: nothing can be said any more, not even goodbye
  bool write_blocked_ = false;
  bool read_wants_write_ = false;  // TLS 1.3 answers a key update first
  bool write_wants_read_ = false;
  bool closing_ = false;      // close_notify was blocked
  event::IoWatcher watcher_;  // last: no news reaches a half-dead transport
};

}  // namespace sluice::net
