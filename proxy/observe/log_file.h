// LogFile: where lines go: a file that is appended to, a pipe, a socket, a terminal. A write never
// waits for a slow reader (a disk may still be slow: only a log's own thread writes). /dev/stdout
// and /dev/stderr mean our own descriptors 1 and 2, even where they cannot be opened by path (a
// socket, or a container that changed its user). Owned by one log; moves; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/fd.h"
#include "proxy/base/result.h"

namespace sluice::observe {

class LogFile {
 public:
  LogFile() = default;
  static Result<LogFile> open(const std::string& path);

  // Whether open() would have it, as far as can be said without making a file.
  static Status probe(const std::string& path);

  bool is_open() const { return fd_.is_open(); }
  // To wait for POLLOUT on.
  int fd() const { return fd_.get(); }
  // How many bytes went out; 0: the reader is slow, ask again when writable. An errno in `error`
  // when it failed, else 0. Requires: SIGPIPE is blocked or ignored; bytes is not empty.
  size_t write(std::string_view bytes, int& error) const;

 private:
  enum class Kind : uint8_t {
    kOurs,    // our own open file description, non-blocking
    kFile,    // a regular file: never says EAGAIN
    kShared,  // others hold the description too, so its flags are not ours to change
    kSocket,
  };
  LogFile(Fd fd, Kind kind) : fd_(std::move(fd)), kind_(kind) {}
  static Result<LogFile> open_standard(int number, const std::string& path);

  Fd fd_;
  Kind kind_ = Kind::kFile;
};

}  // namespace sluice::observe
