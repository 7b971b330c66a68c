#include "proxy/net/tls_transport.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <openssl/err.h>

namespace sluice::net {
namespace {

constexpr size_t kRecord = 16 * 1024;            // RFC 8446 §5.1
constexpr uint64_t kMostSendfile = 1024 * 1024;  // per call: fairness between connections
constexpr uint8_t kFirstMethodLetter = 'A';
constexpr uint8_t kLastMethodLetter = 'z';

bool is_blocked(int number) {
  return number == EAGAIN || number == EWOULDBLOCK;
}

}  // namespace

TlsTransport::TlsTransport(Fd fd, std::shared_ptr<const TlsContext> context,
                           std::string already_read)
    : fd_(std::move(fd)),
      context_(std::move(context)),
      ssl_(SSL_new(context_->handle())),
      early_(std::move(already_read)) {}

Result<std::unique_ptr<TlsTransport>> TlsTransport::accept(
    event::Loop& loop, Fd fd, std::shared_ptr<const TlsContext> context, std::string already_read) {
  std::unique_ptr<TlsTransport> transport(
      new TlsTransport(std::move(fd), std::move(context), std::move(already_read)));
  if (!transport->attach()) return fail(ErrorCode::kSystem, Side::kUs, "no TLS connection");
  event::IoEvents& news = *transport;
  auto watched = transport->watcher_.start(loop, transport->fd_.get(), news);
  if (!watched) return tl::unexpected(watched.error());
  return transport;
}

// Reading goes through us. Writing, too, but where the kernel encrypts: OpenSSL only gives it the
// keys over a socket of its own.
bool TlsTransport::attach() {
  if (ssl_ == nullptr) return false;
  BIO* const ours = BIO_new(method());
  if (ours == nullptr) return false;
  BIO_set_data(ours, this);
  BIO_set_init(ours, 1);
  SSL_set_bio(ssl_.get(), ours, ours);
  if (TlsContext::kernel_offers_tls()) {
    BIO* const socket = BIO_new_socket(fd_.get(), BIO_NOCLOSE);
    if (socket == nullptr) return false;
    SSL_set0_wbio(ssl_.get(), socket);
  }
  SSL_set_accept_state(ssl_.get());
  return true;
}

// ---- OpenSSL's view of the socket ----

BIO_METHOD* TlsTransport::method() {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* one = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice");
    BIO_meth_set_read(one, &TlsTransport::on_receive);
    BIO_meth_set_write(one, &TlsTransport::on_send);
    BIO_meth_set_ctrl(one, [](BIO*, int what, long, void*) noexcept -> long {
      return what == BIO_CTRL_FLUSH ? 1 : 0;
    });
    return one;
  }();
  return made;
}

// A FIN and an error are noted and told as "later": told as they are, OpenSSL would hold the whole
// session for failed, and a client that has only ended its own side would get no answer.
int TlsTransport::on_receive(BIO* bio, char* into, int room) noexcept {
  BIO_clear_retry_flags(bio);
  const int got = static_cast<TlsTransport*>(BIO_get_data(bio))->receive(into, room);
  if (got < 0) BIO_set_retry_read(bio);
  return got;
}

int TlsTransport::on_send(BIO* bio, const char* from, int size) noexcept {
  BIO_clear_retry_flags(bio);
  const int sent = static_cast<TlsTransport*>(BIO_get_data(bio))->send(from, size);
  if (sent < 0 && errno == EAGAIN) BIO_set_retry_write(bio);
  return sent;
}

int TlsTransport::receive(char* into, int room) {
  if (plain_) return -1;
  ssize_t n = 0;
  if (!early_.empty()) {
    n = static_cast<ssize_t>(std::min(early_.size(), static_cast<size_t>(room)));
    std::memcpy(into, early_.data(), static_cast<size_t>(n));
    early_.erase(0, static_cast<size_t>(n));
  } else {
    if (unread_ == Unread::kNone || received_fin_) return -1;
    // Not libc's, which is a cancellation point: see plain_transport.cc.
    do {
      n = ::syscall(SYS_recvfrom, fd_.get(), into, static_cast<size_t>(room), 0, nullptr, nullptr);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && !is_blocked(errno)) receive_error_ = errno;
    if (n < 0) return unread_ = Unread::kNone, -1;
    if (n == 0) return received_fin_ = true, -1;
    if (n < room && !ended_) unread_ = doubted_ ? Unread::kDoubtful : Unread::kNone;
  }
  // A handshake's first byte is 22 (RFC 8446 §5.1), a request's a letter.
  const auto first = static_cast<uint8_t>(into[0]);
  if (!std::exchange(begun_, true) && first >= kFirstMethodLetter && first <= kLastMethodLetter) {
    plain_ = true;
    early_.insert(0, into, static_cast<size_t>(n));
    return -1;
  }
  return static_cast<int>(n);
}

int TlsTransport::send(const char* from, int size) {
  ssize_t n = 0;
  do {
    n = ::syscall(SYS_sendto, fd_.get(), from, static_cast<size_t>(size), MSG_NOSIGNAL, nullptr, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && !is_blocked(errno)) send_error_ = errno;
  return static_cast<int>(n);
}

// ---- news ----

void TlsTransport::on_io(event::IoReady ready) {
  // See plain_transport.cc: one notice may carry both, and an error looks like both.
  const bool was_blocked = write_blocked_ && ready.writable;
  if (was_blocked) write_blocked_ = false;
  if (ready.ended) ended_ = true;
  doubted_ = ready.readable && ready.writable;
  const bool is_readable = ready.readable || ready.ended;
  if (is_readable) unread_ = Unread::kSome;
  if (was_blocked && std::exchange(closing_, false)) shutdown_write();
  // Either direction may have waited for the other.
  const bool tells_read = is_readable || (was_blocked && std::exchange(read_wants_write_, false));
  const bool tells_write = was_blocked || (is_readable && std::exchange(write_wants_read_, false));
  if (tells_read) events_->on_readable();
  if (tells_write) events_->on_writable();
}

// ---- the handshake ----

TlsTransport::Shake TlsTransport::shake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    pending_ = SSL_has_pending(ssl_.get()) == 1 || !early_.empty();
    return Shake::kDone;
  }
  if (plain_) return Shake::kPlain;
  const int error = SSL_get_error(ssl_.get(), result);
  if (received_fin_ || receive_error_ != 0 || send_error_ != 0) return Shake::kLeft;
  if (error == SSL_ERROR_WANT_READ) return Shake::kBlocked;
  if (error == SSL_ERROR_WANT_WRITE) {
    write_blocked_ = true;
    return Shake::kBlocked;
  }
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  why_ = reason == nullptr ? "no reason is known" : reason;
  ERR_clear_error();
  broken_ = true;
  return Shake::kFailed;
}

void TlsTransport::end_output() {
  ::shutdown(fd_.get(), SHUT_WR);
}

TlsTransport::Discard TlsTransport::discard() {
  const BlockRef scratch = BlockRef::make();
  const ssize_t n = ::recv(fd_.get(), scratch->data(), scratch->capacity(), 0);
  if (n > 0 || (n < 0 && errno == EINTR)) return Discard::kSome;
  return n < 0 && is_blocked(errno) ? Discard::kBlocked : Discard::kEnd;
}

Fd TlsTransport::take_plain(std::string& read) {
  watcher_.stop();
  read = std::move(early_);
  return std::move(fd_);
}

std::string_view TlsTransport::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::optional<CertificateFacts> TlsTransport::client_certificate() const {
  X509* const shown = SSL_get0_peer_certificate(ssl_.get());
  if (shown == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return std::nullopt;
  return facts_of(*shown);
}

// ---- reading ----

Io TlsTransport::read(char* into, size_t room) {
  if (unread_ == Unread::kNone && !pending_) return {Io::State::kBlocked, 0, 0};
  ERR_clear_error();
  size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), into, room, &count);
  if (result != 1) return failed_read(result);
  pending_ = SSL_has_pending(ssl_.get()) == 1 || !early_.empty();
  return {Io::State::kOk, count, 0};
}

Io TlsTransport::failed_read(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_ZERO_RETURN: return {Io::State::kEnd, 0, 0};
    case SSL_ERROR_WANT_READ:
      pending_ = false;
      if (receive_error_ != 0) return {Io::State::kFailed, 0, receive_error_};
      // Without close_notify somebody else may have sent this FIN (RFC 8446 §6.1).
      if (received_fin_) return {Io::State::kEnd, 0, EPROTO};
      return {Io::State::kBlocked, 0, 0};
    case SSL_ERROR_WANT_WRITE:
      write_blocked_ = true;
      read_wants_write_ = true;
      return {Io::State::kBlocked, 0, 0};
    default: break;
  }
  ERR_clear_error();
  broken_ = true;
  return {Io::State::kFailed, 0, send_error_ != 0 ? send_error_ : EPROTO};
}

bool TlsTransport::is_reset() {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
}

// ---- writing ----

// What one record takes from the front: a large piece as it lies, small ones and files copied
// together. After a blocked write it comes out the same or longer, which OpenSSL wants. nullopt: a
// file is shorter than it was when its length was announced.
std::optional<std::string_view> TlsTransport::next_record(const Chain& bytes,
                                                          BlockRef& scratch) const {
  const Chain::Piece& front = bytes.front();
  if (!front.is_file() && (front.size >= kRecord || bytes.piece_count() == 1)) {
    return front.view().substr(0, kRecord);
  }
  if (!scratch) scratch = BlockRef::make();
  char* const begin = scratch->data();
  size_t filled = 0;
  for (size_t i = 0; i < bytes.piece_count() && filled < kRecord; ++i) {
    const Chain::Piece& piece = bytes.piece(i);
    const auto want = static_cast<size_t>(std::min<uint64_t>(piece.size, kRecord - filled));
    if (!piece.is_file()) {
      std::memcpy(begin + filled, piece.data, want);
      filled += want;
      continue;
    }
    if (TlsContext::kernel_offers_tls() && BIO_get_ktls_send(SSL_get_wbio(ssl_.get()))) break;
    const ssize_t n =
        ::pread(piece.file->get(), begin + filled, want, static_cast<off_t>(piece.offset));
    if (n > 0) filled += static_cast<size_t>(n);
    if (n != static_cast<ssize_t>(want)) {
      if (filled == 0) return std::nullopt;
      break;
    }
  }
  return std::string_view{begin, filled};
}

Io TlsTransport::write_some(Chain& bytes, BlockRef& scratch) {
  const bool by_kernel =
      bytes.starts_with_file() && BIO_get_ktls_send(SSL_get_wbio(ssl_.get())) > 0;
  if (by_kernel) return write_file(bytes);
  const auto record = next_record(bytes, scratch);
  if (!record) return {Io::State::kFailed, 0, EIO};
  ERR_clear_error();
  size_t count = 0;
  const int result = SSL_write_ex(ssl_.get(), record->data(), record->size(), &count);
  if (result != 1) return failed_write(result);
  bytes.drop_front(count);
  return {Io::State::kOk, count, 0};
}

// The kernel seals what it reads from the file.
Io TlsTransport::write_file(Chain& bytes) {
  const Chain::Piece& piece = bytes.front();
  const auto want = static_cast<size_t>(std::min(piece.size, kMostSendfile));
  ERR_clear_error();
  const ossl_ssize_t n =
      SSL_sendfile(ssl_.get(), piece.file->get(), static_cast<off_t>(piece.offset), want, 0);
  if (n < 0) return failed_write(static_cast<int>(n));
  if (n == 0) return {Io::State::kFailed, 0, EIO};
  bytes.drop_front(static_cast<uint64_t>(n));
  return {Io::State::kOk, static_cast<size_t>(n), 0};
}

Io TlsTransport::failed_write(int result) {
  const int number = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_WRITE: write_blocked_ = true; return {Io::State::kBlocked, 0, 0};
    case SSL_ERROR_WANT_READ: write_wants_read_ = true; return {Io::State::kBlocked, 0, 0};
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      ERR_clear_error();
      return {Io::State::kFailed, 0, send_error_ != 0 ? send_error_ : number};
    default: break;
  }
  ERR_clear_error();
  broken_ = true;
  return {Io::State::kFailed, 0, EPROTO};
}

Io TlsTransport::write(Chain& bytes) {
  Io total{Io::State::kOk, 0, 0};
  BlockRef scratch;
  while (!bytes.empty()) {
    const Io io = write_some(bytes, scratch);
    total.count += io.count;
    if (io.state == Io::State::kOk) continue;
    total.state = io.state;
    total.error_number = io.error_number;
    break;
  }
  return total;
}

void TlsTransport::shutdown_write() {
  if (!broken_ && SSL_in_init(ssl_.get()) == 0) {
    ERR_clear_error();
    const int result = SSL_shutdown(ssl_.get());
    if (result < 0 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_WRITE) {
      write_blocked_ = true;
      closing_ = true;  // on_io() goes on
      return;
    }
    ERR_clear_error();
  }
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace sluice::net
