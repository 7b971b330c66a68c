// FileTree: a folder out of which files are opened, and nothing above it: no "..", absolute link,
// or link swapped in the middle of it all gets out (openat2 RESOLVE_BENEATH; where a kernel or a
// seccomp filter lacks that, component by component). Part of a const Route, shared by all workers
// without a lock: the descriptor's number never changes, only what folder it stands for (dup3 is
// atomic).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

#include "proxy/base/clock.h"
#include "proxy/base/fd.h"

namespace sluice::route {

// A path below the root, without a leading slash and with a NUL, on the stack.
class TreePath {
 public:
  static constexpr size_t kMost = 4096;  // PATH_MAX, NUL included

  TreePath() { text_[0] = '\0'; }  // the rest is written when it is needed
  TreePath(const TreePath&) = delete;
  TreePath& operator=(const TreePath&) = delete;

  // False, and nothing appended, when it would not fit or holds a NUL.
  bool append(std::string_view text);
  void truncate(size_t size);  // Requires: size <= this->size()
  size_t size() const { return size_; }
  std::string_view view() const { return {text_, size_}; }
  const char* c_str() const { return text_; }

 private:
  size_t size_ = 0;
  char text_[kMost];
};

class FileTree {
 public:
  enum class Lookup : uint8_t { kOpenat2, kWalk };

  // Never fails: a root that is not there yet (a volume filled by another container) is looked for
  // again by refresh(). Control thread.
  FileTree(std::string root, bool follow_symlinks)
      : FileTree(std::move(root), follow_symlinks, probe()) {}
  FileTree(std::string root, bool follow_symlinks, Lookup lookup);

  // Opens for reading, whatever it is: a FIFO does not make it wait. The error is an errno.
  // An empty path is the root itself. Any thread.
  tl::expected<Fd, int> open(const TreePath& path) const;

  // At most once a second: a root that was replaced (a deploy moved a link, or made the folder
  // anew) is opened anew. Any thread; at most one of them does the work.
  void refresh(TimePoint now) const;

  bool is_there() const { return root_inode_.load(std::memory_order_relaxed) != 0; }
  const std::string& root() const { return root_; }
  static Lookup probe();

 private:
  tl::expected<Fd, int> open_beneath(const char* path) const;
  tl::expected<Fd, int> open_walking(std::string_view path) const;
  tl::expected<Fd, int> open_followed(const char* path) const;
  void adopt_root() const;

  // Fixed at birth.
  const std::string root_;
  const bool follow_symlinks_;
  const Lookup lookup_;
  Fd folder_;  // the number is fixed; refresh() changes what it stands for
  // Which folder that is now (0: none), and when to look again.
  mutable std::atomic<uint64_t> root_device_{0};
  mutable std::atomic<uint64_t> root_inode_{0};
  mutable std::atomic<int64_t> next_look_;
};

}  // namespace sluice::route
