#include "proxy/observe/log_file.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::observe {

namespace {

constexpr int kOpenFlags = O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

int standard_number(std::string_view path) {
  if (path == "/dev/stdout" || path == "/dev/fd/1" || path == "/proc/self/fd/1") return 1;
  if (path == "/dev/stderr" || path == "/dev/fd/2" || path == "/proc/self/fd/2") return 2;
  return -1;
}

}  // namespace

Result<LogFile> LogFile::open(const std::string& path) {
  if (const int number = standard_number(path); number > 0) return open_standard(number, path);
  Fd fd(::open(path.c_str(), kOpenFlags | O_WRONLY | O_CREAT, 0644));
  // A FIFO nobody reads yet: with its read end held by ourselves it can wait for a reader.
  if (!fd.is_open() && errno == ENXIO) fd = Fd(::open(path.c_str(), kOpenFlags | O_RDWR));
  struct stat about {};
  if (!fd.is_open() || ::fstat(fd.get(), &about) != 0) {
    return fail_errno(errno, Side::kUs, "open " + path);
  }
  return LogFile(std::move(fd), S_ISREG(about.st_mode) ? Kind::kFile : Kind::kOurs);
}

Status LogFile::probe(const std::string& path) {
  if (standard_number(path) > 0) return {};
  const Fd fd(::open(path.c_str(), kOpenFlags | O_WRONLY));
  if (fd.is_open() || errno == ENXIO) return {};
  if (errno != ENOENT) return fail_errno(errno, Side::kUs, "open " + path);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return fail_errno(errno, Side::kUs, "open " + path);
}

Result<LogFile> LogFile::open_standard(int number, const std::string& path) {
  struct stat about {};
  if (::fstat(number, &about) != 0) return fail_errno(errno, Side::kUs, "open " + path);
  // Opening a pipe anew gives a description of our own, which may be made non-blocking without
  // whoever shares the old one noticing. A regular file is not opened anew: two offsets in one file
  // would overwrite each other.
  if (S_ISFIFO(about.st_mode)) {
    const std::string link = "/proc/self/fd/" + std::to_string(number);
    Fd own(::open(link.c_str(), kOpenFlags | O_WRONLY));
    if (own.is_open()) return LogFile(std::move(own), Kind::kOurs);
  }
  Fd copy(::fcntl(number, F_DUPFD_CLOEXEC, 3));
  if (!copy.is_open()) return fail_errno(errno, Side::kUs, "open " + path);
  if (S_ISREG(about.st_mode)) return LogFile(std::move(copy), Kind::kFile);
  return LogFile(std::move(copy), S_ISSOCK(about.st_mode) ? Kind::kSocket : Kind::kShared);
}

size_t LogFile::write(std::string_view bytes, int& error) const {
  error = 0;
  size_t size = bytes.size();
  if (kind_ == Kind::kShared) {
    pollfd writable{fd_.get(), POLLOUT, 0};
    if (::poll(&writable, 1, 0) <= 0) return 0;
    // A pipe that is writable takes PIPE_BUF bytes without blocking (pipe(7)).
    size = std::min<size_t>(size, PIPE_BUF);
  }
  for (;;) {
    const ssize_t n = kind_ == Kind::kSocket
                          ? ::send(fd_.get(), bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                          : ::write(fd_.get(), bytes.data(), size);
    if (n > 0) return static_cast<size_t>(n);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    error = n == 0 ? EIO : errno;
    return 0;
  }
}

}  // namespace sluice::observe
